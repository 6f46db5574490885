import { Badge } from "stepline-ui";
export default { components: { Badge }, props: { status: String }, template: `<Badge :status="status" />` };
