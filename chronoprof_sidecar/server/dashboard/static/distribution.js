// The distribution of durations on a logarithmic axis, with the percentiles marked. Owns its geometry and the bucket
// rule's other direction: a bucket's number is the upper half of a binary32 float.

import { make, makeSvg } from "./dom.js";
import { count, duration, joined } from "./format.js";

const SHIFT = 17;
const BINS_PER_DECADE = 24;
const [WIDTH, HEIGHT, BASE, TOP] = [640, 248, 212, 58];
const MARKS = [["p50", "p50_time"], ["p95", "p95_time"], ["p99", "p99_time"], ["max", "max_time"]];
const LABEL_WIDTH = 92;

/** Draw a row of `GET data?buckets=true` into an element. */
export function drawDistribution(root, row) {
  const axis = axisOf(row);
  const bins = binsOf(row, axis);
  const picture = makeSvg(
    "svg",
    { class: "distribution", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe(row) },
    ...bars(bins, axis),
    makeSvg("line", { class: "base", x1: 0, x2: WIDTH, y1: BASE, y2: BASE }),
    ...ticks(axis),
    ...marks(row, axis),
  );
  const zeros = row.buckets[0] === 0 ? row.counts[0] : 0;
  const note = zeros > 0 ? [make("p", { class: "note" }, `${joined(count(zeros))} calls took no measurable time and are not drawn.`)] : [];
  root.replaceChildren(picture, ...note);
}

function axisOf(row) {
  const low = Math.max(row.min_time, lowest(row), 1e-9);
  const high = Math.max(row.max_time, low * 1.0001);
  let first = Math.floor(Math.log10(low) * 4 - 0.3) / 4;
  let last = Math.ceil(Math.log10(high) * 4 + 0.3) / 4;
  if (last - first < 1) [first, last] = [first - 0.25, last + 0.25];
  return { first, last, x: (seconds) => ((Math.log10(seconds) - first) / (last - first)) * WIDTH };
}

function lowest({ buckets, min_time }) {
  const bucket = buckets.find((each) => each > 0);
  return min_time > 0 || bucket === undefined ? min_time : lowerBound(bucket);
}

/** Calls per bin of equal width on the axis; a bucket that lies across an edge is shared out, being a sixth of a bin at most. */
function binsOf({ buckets, counts }, { first, last }) {
  const bins = new Array(Math.ceil((last - first) * BINS_PER_DECADE)).fill(0);
  const place = (seconds) => (Math.log10(seconds) - first) * BINS_PER_DECADE;
  buckets.forEach((bucket, index) => {
    if (bucket === 0) return;
    const [from, to] = [place(lowerBound(bucket)), place(lowerBound(bucket + 1))];
    for (let bin = Math.max(Math.floor(from), 0); bin < Math.min(to, bins.length); bin++) {
      const part = (Math.min(to, bin + 1) - Math.max(from, bin)) / (to - from);
      bins[bin] += counts[index] * Math.max(part, 0);
    }
  });
  return bins;
}

function bars(bins, { first, last }) {
  const most = Math.max(...bins, 1e-9);
  const width = WIDTH / ((last - first) * BINS_PER_DECADE);
  return bins.flatMap((calls, bin) => {
    if (calls <= 0) return [];
    const height = Math.max((calls / most) * (BASE - TOP), 1.5);
    const seconds = (at) => joined(duration(10 ** (first + at / BINS_PER_DECADE)));
    const title = makeSvg("title", {}, `about ${joined(count(Math.max(Math.round(calls), 1)))} calls, ${seconds(bin)} to ${seconds(bin + 1)}`);
    return [makeSvg("rect", { class: "bin", x: bin * width + 0.5, width: Math.max(width - 1, 1), y: BASE - height, height }, title)];
  });
}

function ticks({ first, last, x }) {
  const nodes = [];
  const isWide = last - first > 2.5;
  for (let decade = Math.floor(first); decade <= Math.ceil(last); decade++) {
    for (const factor of isWide ? [1] : [1, 2, 5]) {
      const at = x(factor * 10 ** decade);
      if (at < 16 || at > WIDTH - 16) continue;
      nodes.push(makeSvg("line", { class: "tick", x1: at, x2: at, y1: BASE, y2: BASE + 5 }));
      nodes.push(makeSvg("text", { class: "tick-text", x: at, y: BASE + 22, "text-anchor": "middle" }, joined(duration(factor * 10 ** decade)).replace(/\.0+(?=\D|$)/, "")));
    }
  }
  return nodes;
}

/** A line at each percentile; where its label would meet another one, it stands a line lower. */
function marks(row, { x }) {
  const ends = []; // of the labels on each line
  return MARKS.flatMap(([title, column]) => {
    const at = Math.min(Math.max(x(Math.max(row[column], 1e-9)), 1), WIDTH - 1);
    const anchor = at > WIDTH - LABEL_WIDTH ? "end" : "start";
    const from = anchor === "end" ? at - LABEL_WIDTH : at;
    let level = 0;
    while (ends[level] > from) level += 1;
    ends[level] = from + LABEL_WIDTH;
    return [
      makeSvg("line", { class: `mark mark-${title}`, x1: at, x2: at, y1: 12 + level * 14, y2: BASE }),
      makeSvg("text", { class: `mark-text mark-${title}`, x: at + (anchor === "end" ? -4 : 4), y: 12 + level * 14, "text-anchor": anchor }, `${title} ${joined(duration(row[column]))}`),
    ];
  });
}

function describe(row) {
  return `Distribution of ${joined(count(row.calls))} calls: ${MARKS.map(([title, column]) => `${title} ${joined(duration(row[column]))}`).join(", ")}`;
}

/** The lower bound of a bucket, in seconds. */
function lowerBound(bucket) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bucket << SHIFT);
  return view.getFloat32(0);
}
