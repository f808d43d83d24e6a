// A line over time in a few pixels. Owns its geometry; knows nothing of what the values are.

import { makeSvg, setAttribute } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 20;

/** A sparkline, an area beneath it, and marks where values cannot be trusted. */
export function makeSparkline() {
  const part = (name) => makeSvg("path", { class: name, "vector-effect": "non-scaling-stroke" });
  return makeSvg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    part("area"),
    part("line"),
    part("lost"),
  );
}

/** Draw values, null where there is none, from 0 up to the largest; `lost` says at which of them calls are missing. */
export function showSparkline(node, values = [], lost = []) {
  const [area, line, marks] = node.children;
  const largest = Math.max(...values.map((value) => value ?? 0), 0);
  const x = (index) => (values.length < 2 ? WIDTH / 2 : (index / (values.length - 1)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 1 - (largest > 0 ? value / largest : 0) * (HEIGHT - 3)).toFixed(1);
  const runs = runsOf(values);
  setAttribute(line, "d", runs.map((run) => run.map((at, nth) => `${nth ? "L" : "M"}${x(at)} ${y(values[at])}`).join("") + dot(run)).join(""));
  setAttribute(area, "d", runs.map((run) => `M${x(run[0])} ${HEIGHT}${run.map((at) => `L${x(at)} ${y(values[at])}`).join("")}L${x(run.at(-1))} ${HEIGHT}Z`).join(""));
  setAttribute(marks, "d", lost.map((isLost, at) => (isLost ? `M${x(at)} ${HEIGHT}v-3` : "")).join(""));
}

/** The indexes of values that follow upon each other without a gap. */
function runsOf(values) {
  const runs = [];
  let run = null;
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      run = null;
    } else if (run === null) {
      runs.push((run = [index]));
    } else {
      run.push(index);
    }
  });
  return runs;
}

/** A value alone is a dash, as wide as can be seen. */
function dot(run) {
  return run.length === 1 ? "m-3 0h6" : "";
}
