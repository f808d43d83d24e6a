// Charts over time by uPlot, in the page's own colours, with a legend that says what is under the cursor. Owns what a
// chart looks like; which figures it shows, and how they are written, comes from outside.

import uPlot from "./uplot-1.6.32.esm.js";
import { make, setText } from "./dom.js";
import { moment } from "./format.js";

const HEIGHT = 220;
const FONT = "12px system-ui, sans-serif";

export class Chart {
  #root;
  #options;
  #plot = null;
  #data = null;
  #range = [0, 1];
  #values = [];
  #when = make("span", { class: "legend-when" });

  /** Take where to draw, and `{label, series: [{title, color, isBars?}], write(value), sync}`; colours are CSS properties. */
  constructor(root, options) {
    this.#root = root;
    this.#options = options;
    const legend = make("p", { class: "legend" }, ...options.series.map((series) => this.#makeEntry(series)), this.#when);
    root.classList.add("chart");
    root.append(legend);
    new ResizeObserver(() => requestAnimationFrame(() => this.#fit())).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /**
   * Show `[times, …values]`: times in seconds, and as many values per series, null where there is none; `range` is what
   * the axis spans, since a function may be younger than what is looked at.
   */
  show(data, range) {
    this.#data = data;
    this.#range = range;
    if (this.#plot === null) this.#redraw();
    else this.#plot.setData(data);
    this.#showLegend(null);
  }

  #redraw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data === null || this.#root.clientWidth === 0) return;
    this.#plot = new uPlot(this.#describe(), this.#data, this.#root);
    this.#plot.root.setAttribute("role", "img");
    this.#plot.root.setAttribute("aria-label", this.#options.label);
  }

  #fit() {
    if (this.#root.clientWidth === 0) return;
    if (this.#plot === null) this.#redraw();
    else if (this.#plot.width !== this.#root.clientWidth) this.#plot.setSize({ width: this.#root.clientWidth, height: HEIGHT });
  }

  #describe() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--muted"), font: FONT, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.#root.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: this.#options.sync }, y: false, drag: { x: false, y: false } },
      scales: { x: { range: () => this.#range }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, values: writeTimes }, { ...axis, size: 68, values: (_plot, ticks) => ticks.map((tick) => this.#options.write(tick)) }],
      series: [{}, ...this.#options.series.map((series) => describe(series, color(series.color)))],
      hooks: { setCursor: [(plot) => this.#showLegend(plot.cursor.idx ?? null)] },
    };
  }

  #makeEntry({ title, color }) {
    const value = make("b", { class: "legend-value" });
    this.#values.push(value);
    const mark = make("span", { class: "legend-mark", "aria-hidden": "true" });
    mark.style.setProperty("--mark", `var(${color})`);
    return make("span", { class: "legend-entry" }, mark, title, " ", value);
  }

  /** Say the figures at a place, or the last ones. */
  #showLegend(at) {
    if (this.#data === null) return;
    const [times, ...series] = this.#data;
    const last = times.findLastIndex((_time, index) => series.some((values) => values[index] !== null));
    const index = at ?? last;
    series.forEach((values, nth) => setText(this.#values[nth], this.#options.write(values[index] ?? null)));
    setText(this.#when, index < 0 ? "" : moment(new Date(times[index] * 1000).toISOString()));
  }
}

/** Times where the reader is: as fine as the distance between two of them asks for. */
function writeTimes(_plot, ticks, _axis, _space, distance) {
  const options = distance >= 86_400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false };
  if (distance < 60) options.second = "2-digit";
  const write = new Intl.DateTimeFormat([], options);
  return ticks.map((tick) => write.format(tick * 1000));
}

function describe({ isBars }, color) {
  const base = { stroke: color, width: 1.75, spanGaps: false, points: { size: 5 } };
  if (!isBars) return base;
  return { ...base, width: 0, fill: color, paths: uPlot.paths.bars({ size: [0.72, 28], align: 1 }), points: { show: false } };
}
