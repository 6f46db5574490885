import { Span } from "stepline-ui";
export default {
  components: { Span },
  props: { from: String, to: String },
  template: `<Span :from="from" :to="to" />`,
};
