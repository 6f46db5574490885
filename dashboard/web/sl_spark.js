import { Spark } from "stepline-ui";
export default { components: { Spark }, props: { points: Array }, template: `<Spark :points="points" />` };
