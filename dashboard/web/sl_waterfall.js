// Attempts and their steps on one axis of time; what runs grows as you look.
import { Mark, between, duration, exact, now, text } from "stepline-ui";

const NICE = [1, 2, 5];
function tickSize(span) {
  const power = 10 ** Math.floor(Math.log10(span / 5 || 1));
  return (NICE.find((n) => n * power >= span / 5) ?? 10) * power;
}

export default {
  components: { Mark },
  props: { lanes: Array, from: String, to: String },
  data: () => ({ at: now() }),
  mounted() {
    this.timer = setInterval(() => {
      if (!this.to && !document.hidden) this.at = now();
    }, 200);
  },
  beforeUnmount() {
    clearInterval(this.timer);
  },
  computed: {
    end() {
      return this.to ? new Date(this.to).getTime() : this.at;
    },
    seconds() {
      return Math.max(0.001, (this.end - new Date(this.from).getTime()) / 1000);
    },
    ticks() {
      const size = tickSize(this.seconds);
      const ticks = [];
      for (let at = 0; at <= this.seconds * 1.0001; at += size) {
        ticks.push({ at, left: `${(100 * at) / this.seconds}%`, text: at === 0 ? "0" : duration(at) });
      }
      return ticks;
    },
  },
  methods: {
    text,
    place(lane) {
      const left = Math.max(0, between(this.from, lane.from) / this.seconds) * 100;
      const to = lane.to ? new Date(lane.to).getTime() : this.end;
      const width = Math.max(0, (to - new Date(lane.from).getTime()) / 10 / this.seconds);
      return { left: `${Math.min(left, 99.5)}%`, width: `${Math.min(width, 100 - left)}%` };
    },
    took(lane) {
      return duration(((lane.to ? new Date(lane.to).getTime() : this.end) - new Date(lane.from).getTime()) / 1000);
    },
    title(lane) {
      return `${lane.label}: ${this.took(lane)}\n${exact(lane.from)}`;
    },
  },
  template: `
  <div class="sl-waterfall" role="table" :aria-label="text('waterfall')">
    <div class="axis" role="presentation"><span class="name"></span><span class="track">
      <span v-for="t in ticks" :key="t.at" class="tick" :style="{ left: t.left }">{{ t.text }}</span></span>
      <span class="took"></span></div>
    <div v-for="lane in lanes" :key="lane.id" class="lane" role="row" :class="[lane.kind, 'is-' + lane.status]">
      <span class="name" role="rowheader" :title="lane.label"><Mark :status="lane.status" />{{ lane.label }}</span>
      <span class="track" role="cell">
        <span v-for="t in ticks" :key="t.at" class="rule" :style="{ left: t.left }"></span>
        <span v-if="lane.from" class="bar" :style="place(lane)" :title="title(lane)"></span></span>
      <span class="took" role="cell">{{ lane.from ? took(lane) : '–' }}</span>
    </div>
  </div>`,
};
