// One function: its figures, how it went over time, its distribution, and its versions beside each other.

import { byId, make, setAttribute, setText } from "./dom.js";
import { makeFigure, makeSpread, makeText, showFigure, showSpread, showText, spreadAxis } from "./cells.js";
import { Chart } from "./chart.js";
import { drawDistribution } from "./distribution.js";
import { count, duration, joined, moment, rate, share } from "./format.js";
import { askWhere, showLosses } from "./losses.js";
import { historyOf, secondsOf, sinceOf } from "./spans.js";
import { Table } from "./table.js";
import { formatView } from "./view.js";

const MOST_VERSIONS = 12;
const time = (id, title) => ({ id, title, make: makeFigure, show: (node, row) => showFigure(node, duration(row[id])) });
const VERSION_COLUMNS = [
  { id: "version", title: "Version", kind: "words", make: makeText, show: (node, row) => showText(node, row.version) },
  { id: "calls", title: "Calls", make: makeFigure, show: (node, row) => showFigure(node, count(row.calls)) },
  time("avg_time", "Avg"), time("p50_time", "p50"), time("p95_time", "p95"), time("p99_time", "p99"), time("max_time", "Max"),
  { id: "errors", title: "Errors", make: makeFigure, show: (node, row) => showFigure(node, count(row.errors)) },
  { id: "spread", title: "Spread", kind: "picture", make: makeSpread, show: (node, row, { axis }) => showSpread(node, row, axis) },
];
const PERCENTILES = [["p50", "--p50", "p50_time"], ["p95", "--p95", "p95_time"], ["p99", "--p99", "p99_time"]];

export class FunctionPage {
  root = byId("function-page");
  everyMs = 5000;
  #api;
  #header;
  #durations;
  #calls;
  #versions;

  constructor(api, viewing, header) {
    this.#api = api;
    this.#header = header;
    this.#durations = new Chart(byId("durations-chart"), {
      label: "p50, p95 and p99 over time", sync: "function", write: (value) => joined(duration(value ?? NaN)),
      series: PERCENTILES.map(([title, color]) => ({ title, color })),
    });
    this.#calls = new Chart(byId("calls-chart"), {
      label: "Calls and errors over time", sync: "function", write: (value) => joined(count(value ?? NaN)),
      series: [{ title: "calls", color: "--calls", isBars: true }, { title: "errors", color: "--bad", isBars: true }],
    });
    this.#versions = new Table(byId("versions"), { label: "Versions", columns: VERSION_COLUMNS, keyOf: (row) => row.version });
  }

  async ask(view, signal) {
    await this.#header.learn(this.#api);
    const query = { ...sinceOf(view.span), service: view.service, version: view.version };
    const one = { ...query, function_name: view.function };
    const answer = await this.#api.get("data", { ...one, buckets: true }, signal);
    const over = { ...historyOf(view.span, answer.meta.window_start), service: view.service, version: view.version };
    const [{ steps }, versions, parts] = await Promise.all([
      this.#api.get("history", { ...over, function_name: view.function }, signal),
      this.#askVersions(one, signal),
      askWhere(this.#api, answer.meta, query, signal),
    ]);
    return { row: answer.data[view.function] ?? null, meta: answer.meta, steps, rows: versions, parts };
  }

  show({ row, meta, steps, rows, parts }, view) {
    setText(byId("function-title"), view.function);
    setAttribute(byId("function-back"), "href", formatView({ ...view, function: "" }));
    showLosses(byId("function-losses"), meta, parts);
    byId("function-empty").hidden = row !== null;
    byId("function-body").hidden = row === null;
    if (row === null) {
      byId("function-empty").replaceChildren(make("h2", {}, "No calls of this function"), make("p", {}, "None was counted in this span with these filters."));
      return;
    }
    showFigures(row, meta);
    const times = steps.map((step) => Date.parse(step.start) / 1000);
    const range = [times[0], Date.parse(steps.at(-1).end) / 1000];
    this.#durations.show([times, ...PERCENTILES.map(([, , column]) => steps.map((step) => step[column]))], range);
    this.#calls.show([times, steps.map((step) => step.calls), steps.map((step) => step.errors)], range);
    drawDistribution(byId("distribution"), row);
    this.#versions.show(rows, { context: { axis: spreadAxis(rows) } });
  }

  clear() {
    setText(byId("function-title"), "");
    byId("function-body").hidden = true;
  }

  async #askVersions(query, signal) {
    const names = query.version ? [query.version] : this.#header.versions.slice(-MOST_VERSIONS);
    const answers = await Promise.all(names.map((version) => this.#api.get("data", { ...query, version }, signal)));
    return answers
      .map(({ data }, index) => ({ version: names[index], ...data[query.function_name] }))
      .filter((row) => row.calls > 0)
      .sort((a, b) => (a.last_seen < b.last_seen ? 1 : -1));
  }
}

function showFigures(row, meta) {
  const figures = [
    ["Calls", count(row.calls)], ["Rate", rate(row.calls / secondsOf(meta))], ["Total", duration(row.total_time)],
    ["Avg", duration(row.avg_time)], ["p50", duration(row.p50_time), "p50"], ["p95", duration(row.p95_time), "p95"],
    ["p99", duration(row.p99_time), "p99"], ["Min", duration(row.min_time)], ["Max", duration(row.max_time)],
    ["Errors", row.errors > 0 ? share(row.errors / row.calls) : ["0", ""], row.errors > 0 ? "bad" : ""],
    ["First seen", [moment(row.first_seen), ""]], ["Last seen", [moment(row.last_seen), ""]],
  ];
  const root = byId("function-figures");
  if (root.childElementCount === 0) {
    root.append(...figures.map(([title]) => make("div", {}, make("dt", {}, title), make("dd", {}, makeFigure()))));
  }
  figures.forEach(([, figure, kind], index) => {
    setAttribute(root.children[index], "class", kind || undefined);
    showFigure(root.children[index].lastChild.firstChild, figure);
  });
}
