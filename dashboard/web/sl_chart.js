// A small time chart: stacked bars or lines, drawn with the page's own colours.
import { duration, number, language, text } from "stepline-ui";

const W = 600, H = 168, LEFT = 46, BOTTOM = 22, TOP = 8;
const clockFormat = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((n) => n * power >= value) ?? 10) * power;
}

export default {
  // series: [{name, label, tone, values}], times: [iso], unit: "number" | "seconds", kind: "bars" | "lines"
  props: { series: Array, times: Array, unit: String, kind: String, label: String },
  data: () => ({ at: -1, width: W }),
  mounted() {
    this.observer = new ResizeObserver(([entry]) => (this.width = Math.max(260, entry.contentRect.width)));
    this.observer.observe(this.$el);
  },
  beforeUnmount() {
    this.observer.disconnect();
  },
  computed: {
    height: () => H,
    plot() {
      return { x: LEFT, w: this.width - LEFT - 8, y: TOP, h: H - TOP - BOTTOM };
    },
    sums() {
      return this.times.map((_, i) => this.series.reduce((sum, s) => sum + (s.values[i] ?? 0), 0));
    },
    top() {
      const values = this.kind === "bars" ? this.sums : this.series.flatMap((s) => s.values.filter((v) => v != null));
      return niceTop(Math.max(0, ...values));
    },
    rules() {
      return [0, 0.5, 1].map((part) => ({
        y: this.y(part * this.top),
        text: this.unit === "seconds" ? (part ? duration(part * this.top) : "0") : number(Math.round(part * this.top * 100) / 100),
      }));
    },
    marks() {
      const count = Math.max(2, Math.floor(this.plot.w / 110));
      const step = Math.max(1, Math.ceil(this.times.length / count));
      const long = this.times.length > 1 && new Date(this.times.at(-1)) - new Date(this.times[0]) > 2 * 86400e3;
      return this.times
        .map((iso, i) => ({ i, x: this.x(i) + this.step / 2, text: (long ? dayFormat : clockFormat).format(new Date(iso)) }))
        .filter((mark) => mark.i % step === 0 && mark.x < this.width - 18);
    },
    step() {
      return this.plot.w / Math.max(1, this.times.length);
    },
    bars() {
      const gap = this.step > 6 ? 2 : this.step > 3 ? 1 : 0;
      const under = this.times.map(() => 0);
      return this.series.flatMap((s) =>
        s.values.map((value, i) => {
          const low = under[i];
          under[i] += value ?? 0;
          return { key: `${s.name}${i}`, tone: s.tone, x: this.x(i) + gap / 2, w: Math.max(1, this.step - gap),
            y: this.y(under[i]), h: Math.max(0, this.y(low) - this.y(under[i])) };
        }).filter((bar) => bar.h > 0));
    },
    lines() {
      return this.series.map((s) => ({
        ...s,
        paths: this.runs(s.values).map((run) => run.map(([i, v]) => `${(this.x(i) + this.step / 2).toFixed(1)},${this.y(v).toFixed(1)}`).join(" ")),
        dots: this.runs(s.values).filter((run) => run.length === 1).map(([[i, v]]) => ({ x: this.x(i) + this.step / 2, y: this.y(v) })),
      }));
    },
    tip() {
      if (this.at < 0 || this.at >= this.times.length) return null;
      const left = this.x(this.at) + this.step / 2;
      return { style: left > this.width / 2 ? { right: `${this.width - left + 10}px` } : { left: `${left + 10}px` },
        x: left, time: new Date(this.times[this.at]).toLocaleString(language, { hourCycle: "h23" }),
        rows: this.series.map((s) => ({ name: s.name, label: s.label, tone: s.tone,
          value: this.unit === "seconds" ? duration(s.values[this.at]) : number(s.values[this.at]) })) };
    },
  },
  methods: {
    text,
    x(i) {
      return LEFT + i * this.step;
    },
    y(value) {
      return TOP + this.plot.h * (1 - value / this.top);
    },
    runs(values) {
      const runs = [[]];
      values.forEach((value, i) => (value == null ? runs.at(-1).length && runs.push([]) : runs.at(-1).push([i, value])));
      return runs.filter((run) => run.length);
    },
    look(event) {
      const box = this.$el.getBoundingClientRect();
      this.at = Math.floor((event.clientX - box.left - LEFT) / this.step);
    },
  },
  template: `
  <figure class="sl-chart" :aria-label="label" @mousemove="look" @mouseleave="at = -1">
    <svg :viewBox="'0 0 ' + width + ' ' + height" :width="width" :height="height" role="img" :aria-label="label">
      <g v-for="r in rules" :key="r.y"><line class="rule" :x1="plot.x" :x2="plot.x + plot.w" :y1="r.y" :y2="r.y" />
        <text class="axis" :x="plot.x - 8" :y="r.y + 4" text-anchor="end">{{ r.text }}</text></g>
      <text v-for="m in marks" :key="m.i" class="axis" :x="m.x" :y="height - 5" text-anchor="middle">{{ m.text }}</text>
      <line v-if="tip" class="hair" :x1="tip.x" :x2="tip.x" :y1="plot.y" :y2="plot.y + plot.h" />
      <template v-if="kind === 'bars'"><rect v-for="b in bars" :key="b.key" :class="'fill-' + b.tone" :x="b.x" :y="b.y" :width="b.w" :height="b.h" /></template>
      <template v-else v-for="l in lines" :key="l.name">
        <polyline v-for="(p, i) in l.paths" :key="i" :points="p" class="line" :class="'line-' + l.tone" />
        <circle v-for="(d, i) in l.dots" :key="'d' + i" :cx="d.x" :cy="d.y" r="2.2" :class="'fill-' + l.tone" /></template>
    </svg>
    <figcaption><span v-for="s in series" :key="s.name" class="key"><i :class="'swatch-' + s.tone"></i>{{ s.label }}</span></figcaption>
    <div v-if="tip" class="tip" :style="tip.style"><b>{{ tip.time }}</b>
      <span v-for="r in tip.rows" :key="r.name"><i :class="'swatch-' + r.tone"></i>{{ r.label }}<em>{{ r.value }}</em></span></div>
  </figure>`,
};
