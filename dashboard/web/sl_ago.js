import { Ago } from "stepline-ui";
export default { components: { Ago }, props: { at: String }, template: `<Ago :at="at" />` };
