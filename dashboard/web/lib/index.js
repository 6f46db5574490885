// What the components share: the clock, the words, the shapes. Data is only ever put into text
// nodes and attributes here; nothing in this folder makes markup of it.
import { reactive } from "vue";

const boot = window.stepline;

export const texts = boot.texts;
export const language = boot.language;

export const text = (key, values = {}) =>
  (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

// The server's time, so that a wrong clock on the viewer's machine changes no age.
const skew = boot.now - Date.now();
export const clock = reactive({ now: Date.now() + skew });
setInterval(() => {
  if (!document.hidden) clock.now = Date.now() + skew;
}, 1000);
document.addEventListener("visibilitychange", () => (clock.now = Date.now() + skew));
export const now = () => Date.now() + skew;

const integers = new Intl.NumberFormat(language);
const decimals = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const moments = new Intl.DateTimeFormat(language, {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});

export const number = (value) => (value == null ? "–" : integers.format(value));

export function ago(iso, at) {
  if (!iso) return "–";
  const seconds = (new Date(iso).getTime() - at) / 1000;
  const size = Math.abs(seconds);
  if (size < 2) return text("just_now");
  if (size < 60) return relative.format(Math.round(seconds), "second");
  if (size < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 86400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86400), "day");
}

export const exact = (iso) => (iso ? moments.format(new Date(iso)) : "");

// Two figures that matter: 12 ms, 3.4 s, 2 m 05 s, 1 h 20 m.
export function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "–";
  if (seconds < 0) seconds = 0;
  if (seconds > 0 && seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${decimals.format(seconds)} s`;
  const whole = Math.round(seconds);
  const pad = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export const between = (from, to) => (new Date(to).getTime() - new Date(from).getTime()) / 1000;

// Each status has a shape of its own, so that no one needs the colour to tell it.
const SHAPES = {
  PENDING: [["circle", { cx: 8, cy: 8, r: 5.2 }]],
  SCHEDULED: [["circle", { cx: 8, cy: 8, r: 5.7 }], ["path", { d: "M8 4.8V8l2.2 1.6" }]],
  RUNNING: [["path", { d: "M8 2.3a5.7 5.7 0 1 1-5.7 5.7", class: "turns" }]],
  RETRYING: [["path", { d: "M13.2 8A5.2 5.2 0 1 1 11.4 4M13.4 1.8V4.9H10.3" }]],
  SUCCESS: [["circle", { cx: 8, cy: 8, r: 6.4, class: "solid" }],
    ["path", { d: "M5 8.2l2.1 2.1L11.1 6", class: "ink" }]],
  FAILURE: [["path", { d: "M8 1.2 14.8 8 8 14.8 1.2 8Z", class: "solid" }],
    ["path", { d: "M8 4.8v3.6M8 10.7v.3", class: "ink" }]],
  CANCELLED: [["rect", { x: 2.2, y: 2.2, width: 11.6, height: 11.6, rx: 2.5 }],
    ["path", { d: "M5.2 10.8l5.6-5.6" }]],
};
const SAME = {
  waiting: "PENDING", running: "RUNNING", completed: "SUCCESS", failed: "FAILURE",
  cancelled: "CANCELLED", skipped: "SKIPPED", up: "SUCCESS", down: "FAILURE", paused: "PAUSED",
  draining: "RETRYING", active: "SUCCESS", unserved: "FAILURE", gone: "CANCELLED", open: "FAILURE", resolved: "SUCCESS",
};
SHAPES.SKIPPED = [["path", { d: "M3 4l4.5 4L3 12zM8.5 4L13 8l-4.5 4z" }]];
SHAPES.PAUSED = [["path", { d: "M5.5 3.5v9M10.5 3.5v9" }]];

export const Mark = {
  props: { status: String },
  computed: {
    shapes() {
      return SHAPES[SAME[this.status] ?? this.status] ?? SHAPES.PENDING;
    },
    tone() {
      return `tone-${(SAME[this.status] ?? this.status ?? "").toLowerCase()}`;
    },
  },
  template: `<svg class="sl-mark" :class="tone" viewBox="0 0 16 16" aria-hidden="true"
    ><component v-for="(s, i) in shapes" :key="i" :is="s[0]" v-bind="s[1]"
  /></svg>`,
};

export const Badge = {
  components: { Mark },
  props: { status: String },
  computed: {
    word() {
      return text(`status_${this.status}`);
    },
    tone() {
      return `tone-${(SAME[this.status] ?? this.status ?? "").toLowerCase()}`;
    },
  },
  template: `<span class="sl-badge" :class="tone" :data-status="status"
    ><Mark :status="status" />{{ word }}</span>`,
};

export const Ago = {
  props: { at: String },
  computed: {
    words() {
      return ago(this.at, clock.now);
    },
    title() {
      return exact(this.at);
    },
  },
  template: `<time v-if="at" class="sl-ago" :datetime="at" :title="title">{{ words }}</time
    ><span v-else class="faint">–</span>`,
};

// How long something took, or has taken so far.
export const Span = {
  props: { from: String, to: String },
  computed: {
    words() {
      if (!this.from) return "–";
      return duration((new Date(this.to ?? clock.now).getTime() - new Date(this.from).getTime()) / 1000);
    },
  },
  template: `<span class="sl-span" :class="{ faint: !from, live: from && !to }">{{ words }}</span>`,
};

export const Spark = {
  props: { points: Array, tone: { type: String, default: "accent" } },
  computed: {
    line() {
      const points = this.points ?? [];
      if (points.length < 2) return "";
      const top = Math.max(1, ...points);
      const step = 96 / (points.length - 1);
      return points
        .map((value, i) => `${(2 + i * step).toFixed(1)},${(22 - (20 * value) / top).toFixed(1)}`)
        .join(" ");
    },
  },
  template: `<svg class="sl-spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
    <polygon v-if="line && points.some(Boolean)" :points="'2,22 ' + line + ' 98,22'" /><polyline v-if="line && points.some(Boolean)" :points="line" />
    <line v-else x1="2" y1="22" x2="98" y2="22" /></svg>`,
};

export const copy = (value) => navigator.clipboard?.writeText(value);
