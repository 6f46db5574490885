// The chain as a graph: a node per handler, in order, each with its state.
import { Mark, Span, text } from "stepline-ui";

export default {
  components: { Mark, Span },
  props: { nodes: Array },
  emits: ["node"],
  methods: { text },
  template: `
  <ol class="sl-chain">
    <li v-for="n in nodes" :key="n.index" :data-status="n.status">
      <div class="node" :class="'is-' + n.status" :title="n.message || undefined">
        <span class="head"><Mark :status="n.status" /><b>{{ n.handler }}</b></span>
        <span class="foot">{{ text('status_' + n.status) }}<template v-if="n.started_at"> ·
          <Span :from="n.started_at" :to="n.finished_at ?? undefined" /></template
          ><template v-if="n.status === 'running' && n.percent != null"> · {{ Math.round(n.percent) }}%</template></span>
        <span v-if="n.status === 'running'" class="bar"><span :style="{ width: (n.percent ?? 0) + '%' }"></span></span>
      </div>
    </li>
  </ol>`,
};
