// A JSON value as text, folded where it is long; what looks secret is covered until asked for.
import { copy, text } from "stepline-ui";

const SECRET = /passw|secret|token|api_?key|authorization|cookie|credential|private_?key|\bpin\b|card_?number|cvv/i;
const OPEN_ITEMS = 12;
const PAGE = 200;

const Node = {
  name: "JsonNode",
  props: { value: null, name: null, depth: Number, last: Boolean },
  data() {
    const size = Object.keys(this.value ?? {}).length; // computed ones are not there yet
    return { open: this.depth === 0 || (this.depth < 2 && size <= OPEN_ITEMS), shown: false, limit: PAGE };
  },
  computed: {
    isList() {
      return Array.isArray(this.value);
    },
    isTree() {
      return this.value !== null && typeof this.value === "object";
    },
    size() {
      return this.value !== null && typeof this.value === "object" ? Object.keys(this.value).length : 0;
    },
    entries() {
      return Object.entries(this.value).slice(0, this.limit);
    },
    secret() {
      return typeof this.name === "string" && SECRET.test(this.name) && this.value != null && this.value !== "";
    },
    kind() {
      return this.value === null ? "null" : typeof this.value;
    },
    plain() {
      return typeof this.value === "string" ? JSON.stringify(this.value) : String(this.value);
    },
  },
  methods: { text },
  template: `
  <div class="node" :style="{ '--depth': depth }">
    <template v-if="secret && !shown"><span v-if="name !== null" class="key">{{ name }}</span>
      <button type="button" class="covered" @click="shown = true">•••••• <span>{{ text('reveal') }}</span></button></template>
    <template v-else-if="isTree && size">
      <button type="button" class="fold" :aria-expanded="open" @click="open = !open">
        <span class="arrow" :class="{ open }" aria-hidden="true">▸</span><span v-if="name !== null" class="key">{{ name }}</span>
        <span class="count">{{ isList ? '[' + size + ']' : '{' + size + '}' }}</span></button>
      <div v-if="open" class="children">
        <JsonNode v-for="[key, item] in entries" :key="key" :value="item" :name="isList ? Number(key) : key" :depth="depth + 1" />
        <button v-if="size > limit" type="button" class="more" @click="limit += 1000">{{ text('more_items', { n: size - limit }) }}</button>
      </div>
    </template>
    <template v-else><span v-if="name !== null" class="key">{{ name }}</span><span class="value" :class="kind"
      >{{ isTree ? (isList ? '[]' : '{}') : plain }}</span></template>
  </div>`,
};

export default {
  components: { JsonNode: Node },
  props: { value: null, label: String },
  data: () => ({ done: false }),
  methods: {
    text,
    copyAll() {
      copy(JSON.stringify(this.value, null, 2));
      this.done = true;
      setTimeout(() => (this.done = false), 1500);
    },
  },
  template: `
  <div class="sl-json" :aria-label="label">
    <button type="button" class="copy" @click="copyAll">{{ done ? text('copied') : text('copy') }}</button>
    <JsonNode :value="value" :name="null" :depth="0" />
  </div>`,
};
