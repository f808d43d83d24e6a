// What stands in the cells of tables: names, figures, bars, and the spread of durations on a shared logarithmic axis.

import { make, makeSvg, setAttribute, setText } from "./dom.js";

const METHOD = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|QUERY|_OTHER) (?=.)/;

/** A function's name: an endpoint's method stands apart, and long names end in their last part. */
export function makeName() {
  return make("span", { class: "name" }, make("span", { class: "method" }), make("span", { class: "path" }));
}

export function showName(node, name) {
  const method = METHOD.exec(name)?.[1] ?? "";
  const [methodNode, pathNode] = node.children;
  setText(methodNode, method && `${method} `);
  setText(pathNode, name.slice(method && method.length + 1));
  setAttribute(node, "title", name);
}

/** A text that may be cut, whole in its tooltip. */
export function makeText() {
  return make("span", { class: "text" });
}

export function showText(node, text) {
  setText(node, text);
  setAttribute(node, "title", text || undefined);
}

/** A figure, digits and unit in columns of their own. */
export function makeFigure() {
  return make("span", { class: "figure" }, make("span", { class: "digits" }), make("span", { class: "unit" }));
}

/** Show `[digits, unit]`; the unit is the order of magnitude, and has a colour of its own in durations. */
export function showFigure(node, [digits, unit], title = undefined) {
  setText(node.children[0], digits);
  setText(node.children[1], unit && `\u00a0${unit}`);
  setAttribute(node, "data-unit", unit || undefined);
  setAttribute(node, "title", title);
}

/** A share of a whole, as a bar and a figure. */
export function makeShare() {
  const bar = make("span", { class: "bar" });
  return make("span", { class: "share" }, make("span", { class: "bar-track", "aria-hidden": "true" }, bar), makeFigure());
}

/** Show a share, 0 to 1; the bar is drawn against the largest one, so that it can be read. */
export function showShare(node, value, largest, figure) {
  const width = largest > 0 ? Math.max(value / largest, 0) : 0;
  node.firstChild.firstChild.style.transform = `scaleX(${width.toFixed(4)})`;
  showFigure(node.children[1], figure);
}

/** The spread of a function's durations: a bar from p50 to p99, a mark at p95, a dot at the maximum. */
export function makeSpread() {
  const part = (name) => makeSvg("rect", { class: name, y: 0, height: 1 });
  return makeSvg(
    "svg",
    { class: "spread", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    part("tail"),
    part("body"),
    part("p50"),
    part("p95"),
    part("p99"),
    part("max"),
  );
}

/** Show a row on `axis`, as `spreadAxis` returns it. */
export function showSpread(node, row, axis) {
  const at = (seconds) => axis.position(seconds) * 100;
  const [tail, body, ...marks] = node.children;
  span(tail, at(row.p99_time), at(row.max_time));
  span(body, at(row.p50_time), at(row.p99_time));
  [row.p50_time, row.p95_time, row.p99_time, row.max_time].forEach((seconds, index) => {
    setAttribute(marks[index], "x", (at(seconds) - 0.75).toFixed(2));
    setAttribute(marks[index], "width", 1.5);
  });
}

/** A logarithmic axis of whole decades that holds the medians and maxima of all rows. */
export function spreadAxis(rows) {
  let low = Infinity;
  let high = 0;
  for (const row of rows) {
    if (row.p50_time > 0) low = Math.min(low, row.p50_time);
    high = Math.max(high, row.max_time);
  }
  if (!(high > 0) || low === Infinity) [low, high] = [1e-6, 1];
  const first = Math.floor(Math.log10(low));
  const last = Math.max(Math.ceil(Math.log10(high)), first + 1);
  const position = (seconds) => {
    if (!(seconds > 0)) return 0;
    return Math.min(Math.max((Math.log10(seconds) - first) / (last - first), 0), 1);
  };
  return { first, last, position };
}

function span(rect, from, to) {
  setAttribute(rect, "x", from.toFixed(2));
  setAttribute(rect, "width", Math.max(to - from, 0).toFixed(2));
}
