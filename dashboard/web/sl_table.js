// A table whose cells change in place: rows are told apart by `id`, and only what differs is drawn.
import { Ago, Badge, Mark, Span, Spark, duration, number, text } from "stepline-ui";

const Cell = {
  components: { Ago, Badge, Mark, Span, Spark },
  props: { kind: String, value: null },
  computed: {
    shown() {
      if (this.kind === "number") return number(this.value);
      if (this.kind === "seconds") return duration(this.value);
      return this.value ?? "–";
    },
    filled() {
      return { width: `${Math.min(100, Math.max(0, this.value?.percent ?? 0))}%` };
    },
  },
  template: `
    <Badge v-if="kind === 'status'" :status="value" />
    <Ago v-else-if="kind === 'ago'" :at="value ?? undefined" />
    <Span v-else-if="kind === 'span'" :from="value?.from ?? undefined" :to="value?.to ?? undefined" />
    <Spark v-else-if="kind === 'spark'" :points="value" />
    <span v-else-if="kind === 'progress'" class="sl-progress" :class="{ none: value?.percent == null }">
      <template v-if="value?.percent != null"><span class="bar"><span :style="filled"></span></span>
      <span class="figure">{{ Math.round(value.percent) }}%</span></template>
      <span v-if="value?.text" class="note" :title="value.text">{{ value.text }}</span>
    </span>
    <span v-else-if="kind === 'chips'" class="sl-chips"
      ><span v-for="chip in value" :key="chip" class="sl-chip">{{ chip }}</span></span>
    <span v-else-if="kind === 'name'" class="sl-name">
      <a v-if="value.href" :href="value.href" class="main">{{ value.text }}</a>
      <span v-else class="main">{{ value.text }}</span>
      <span v-if="value.sub" class="sub">{{ value.sub }}</span>
    </span>
    <a v-else-if="kind === 'link' && value?.href" :href="value.href" class="sl-link">{{ value.text }}</a>
    <span v-else-if="kind === 'link'">{{ value?.text ?? "–" }}</span>
    <code v-else-if="kind === 'mono'" class="sl-mono" :title="value">{{ shown }}</code>
    <span v-else :class="{ faint: value == null }">{{ shown }}</span>`,
};

export default {
  components: { Cell },
  props: {
    columns: Array, rows: Array, selectable: Boolean, empty: Object, label: String, loading: Boolean,
  },
  emits: ["select", "act"],
  data() {
    return { items: this.rows.slice(), picked: new Set(), cursor: -1, waiting: this.loading, anchor: null };
  },
  mounted() {
    window.stepline.tables.add(this);
  },
  beforeUnmount() {
    window.stepline.tables.delete(this);
  },
  computed: {
    allPicked() {
      return this.items.length > 0 && this.items.every((row) => this.picked.has(row.id));
    },
    hasActions() {
      return this.items.some((row) => row.do?.length);
    },
  },
  methods: {
    text,
    setRows(rows) {
      const under = this.items[this.cursor]?.id;
      this.items = rows.slice();
      this.waiting = false;
      this.cursor = under ? this.items.findIndex((row) => row.id === under) : this.cursor;
      const known = new Set(rows.map((row) => row.id));
      const kept = [...this.picked].filter((id) => known.has(id));
      if (kept.length !== this.picked.size) this.pick(new Set(kept));
    },
    // The rows of `order`: those given are new or have changed, the others are here already.
    arrange(order, rows) {
      const known = new Map([...this.items, ...rows].map((row) => [row.id, row]));
      this.setRows(order.map((id) => known.get(id)).filter(Boolean));
    },
    patch(changes) {
      for (const change of changes) {
        const row = this.items.find((item) => item.id === change.id);
        if (row) Object.assign(row, change);
      }
    },
    clearPicked() {
      this.pick(new Set());
    },
    pick(ids) {
      this.picked = ids;
      this.$emit("select", [...ids]);
    },
    toggle(row, event) {
      const ids = new Set(this.picked);
      const at = this.items.findIndex((item) => item.id === row.id);
      const from = this.items.findIndex((item) => item.id === this.anchor);
      const range = event?.shiftKey && from >= 0
        ? this.items.slice(Math.min(from, at), Math.max(from, at) + 1) : [row];
      const add = !ids.has(row.id);
      range.forEach((item) => (add ? ids.add(item.id) : ids.delete(item.id)));
      this.anchor = row.id;
      this.pick(ids);
    },
    toggleAll() {
      this.pick(this.allPicked ? new Set() : new Set(this.items.map((row) => row.id)));
    },
    open(event, row) {
      if (event.target.closest("a, button, input") || String(getSelection())) return;
      if (row.href) window.stepline.go(row.href);
    },
    act(row, name) {
      this.$emit("act", { id: row.id, name });
    },
    // The keyboard: shell.js calls these.
    move(by) {
      if (!this.items.length) return;
      this.cursor = Math.min(this.items.length - 1, Math.max(0, this.cursor + by));
      this.$nextTick(() => {
        const row = this.$el.querySelector("tr.cursor");
        row?.scrollIntoView({ block: "nearest" });
        row?.querySelector("a, button, input")?.focus({ preventScroll: true });
      });
    },
    enter() {
      const row = this.items[this.cursor];
      if (row?.href) window.stepline.go(row.href);
    },
    mark() {
      const row = this.items[this.cursor];
      if (row && this.selectable) this.toggle(row);
    },
  },
  template: `
  <div class="sl-table-frame">
    <table class="sl-table" :aria-label="label" :aria-busy="waiting">
      <thead><tr>
        <th v-if="selectable" class="pick"><input type="checkbox" :checked="allPicked"
          :indeterminate.prop="picked.size > 0 && !allPicked" :aria-label="text('pick_all')"
          @change="toggleAll" /></th>
        <th v-for="c in columns" :key="c.name" scope="col" :class="[c.kind, { roomy: c.roomy }]">{{ c.label }}</th>
        <th v-if="hasActions" class="acts"><span class="unseen">{{ text('actions') }}</span></th>
      </tr></thead>
      <tbody>
        <tr v-for="(row, i) in items" :key="row.id" :data-id="row.id"
          :class="{ cursor: i === cursor, picked: picked.has(row.id), opens: row.href, dim: row.dim }"
          @click="open($event, row)">
          <td v-if="selectable" class="pick"><input type="checkbox" :checked="picked.has(row.id)"
            :aria-label="text('pick_one')" @click.stop="toggle(row, $event)" /></td>
          <td v-for="c in columns" :key="c.name" :class="[c.kind, { roomy: c.roomy }]" :data-label="c.label"
            ><Cell :kind="c.kind" :value="row[c.name]" /></td>
          <td v-if="hasActions" class="acts"><span class="sl-acts"
            ><button v-for="a in row.do" :key="a.name" type="button" class="sl-button small"
              :class="a.tone" :data-act="a.name" @click.stop="act(row, a.name)">{{ a.label }}</button></span></td>
        </tr>
      </tbody>
    </table>
    <div v-if="waiting && !items.length" class="sl-skeleton" aria-hidden="true">
      <span v-for="n in 6" :key="n"></span></div>
    <div v-else-if="!items.length && empty" class="sl-empty">
      <i class="material-icons-outlined" aria-hidden="true">{{ empty.icon }}</i>
      <p class="title">{{ empty.title }}</p><p class="hint">{{ empty.hint }}</p>
      <a v-if="empty.href" :href="empty.href" class="sl-button">{{ empty.link }}</a>
    </div>
  </div>`,
};
