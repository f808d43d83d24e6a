// The functions of a span: totals, what is missing, and the table. Owns the table's columns, search and sorting.

import { byId, make, setText } from "./dom.js";
import {
  makeFigure, makeName, makeShare, makeSpread, makeText, showFigure, showName, showShare, showSpread, spreadAxis,
} from "./cells.js";
import { count, duration, grouped, share } from "./format.js";
import { askWhere, showLosses } from "./losses.js";
import { makeSparkline, showSparkline } from "./sparkline.js";
import { sinceOf } from "./spans.js";
import { Table } from "./table.js";
import { Totals } from "./totals.js";
import { Trends } from "./trends.js";
import { formatView } from "./view.js";

const figure = (id, title, hint, show, kind = "number") => ({
  id, title, hint, kind, sortable: true, make: makeFigure,
  show: (node, row) => showFigure(node, show(row[id], row)),
});
const time = (id, title, hint) => figure(id, title, hint, duration);

function columnsWith(trends) {
  return [
    { id: "function_name", title: "Function", kind: "words", sortable: true, make: makeName, show: (node, row) => showName(node, row.function_name) },
    { id: "total_time", title: "Share of time", hint: "Share of the total time of all functions shown", kind: "measure", sortable: true, make: makeShare,
      show: (node, row, { total, largest }) => showShare(node, row.total_time, largest, share(total > 0 ? row.total_time / total : 0)) },
    figure("calls", "Calls", "Timed calls", count),
    time("avg_time", "Avg", "Mean duration"),
    time("p50_time", "p50", "Half of all calls took at most this long"),
    time("p95_time", "p95", "95 of 100 calls took at most this long"),
    time("p99_time", "p99", "99 of 100 calls took at most this long"),
    time("max_time", "Max", "The longest call"),
    figure("errors", "Errors", "Calls that raised, or answered 5xx", (value) => (value === 0 ? ["0", ""] : count(value))),
    { id: "trend", title: "p95 over time", hint: "How p95 went over the span, from 0 up to its own maximum", kind: "picture", make: makeSparkline,
      show: (node, row) => showSparkline(node, trends.of(row.function_name)) },
    { id: "spread", title: "Spread", hint: "From p50 to p99 and the longest call, on one logarithmic axis for all rows", kind: "picture", make: makeSpread,
      show: (node, row, { axis }) => showSpread(node, row, axis) },
  ];
}

export class FunctionsPage {
  root = byId("functions-page");
  everyMs = 2000;
  #api;
  #viewing;
  #totals;
  #trends;
  #table;
  #rows = null;
  #context = {};

  constructor(api, viewing) {
    this.#api = api;
    this.#viewing = viewing;
    this.#totals = new Totals(byId("totals"), api);
    this.#trends = new Trends(api, () => this.#table.redraw());
    this.#table = new Table(byId("functions-table"), {
      label: "Functions",
      columns: columnsWith(this.#trends),
      keyOf: (row) => row.function_name,
      hrefOf: (row) => formatView({ ...viewing.view, function: row.function_name }),
      onSort: (column) => this.#sort(column),
      onDrawn: (rows) => this.#trends.want(rows.map((row) => row.function_name)),
    });
  }

  /** Ask for what the view shows. */
  async ask(view, signal) {
    const query = { ...sinceOf(view.span), service: view.service, version: view.version };
    const answer = await this.#api.get("data", query, signal);
    const parts = await askWhere(this.#api, answer.meta, query, signal);
    return { ...answer, parts };
  }

  show({ data, meta, parts }, view, signal) {
    this.#rows = Object.entries(data).map(([name, row]) => ({ function_name: name, ...row }));
    const sum = this.#rows.reduce((total, row) => total + row.total_time, 0);
    const largest = this.#rows.reduce((most, row) => Math.max(most, row.total_time), 0);
    this.#context = { total: sum, largest, axis: spreadAxis(this.#rows) };
    this.#trends.look(view, meta.window_start);
    this.#totals.show(this.#rows, meta, view);
    this.#totals.refresh(view, meta, signal);
    showLosses(byId("losses"), meta, parts);
    this.arrange(view);
  }

  /** Sort and search what was answered last; needs no new answer. */
  arrange(view) {
    if (this.#rows === null) return;
    const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#rows.filter((row) => words.every((word) => row.function_name.toLowerCase().includes(word)));
    this.#table.show(sorted(found, view), { context: this.#context, sort: view.sort, order: view.order });
    const all = grouped(this.#rows.length);
    const functions = this.#rows.length === 1 ? "function" : "functions";
    setText(byId("functions-caption"), words.length > 0 ? `${grouped(found.length)} of ${all} ${functions}` : `${all} ${functions}`);
    this.#showEmpty(found.length === 0, view);
  }

  /** Forget what was shown, since something else will be. */
  clear() {
    this.#rows = null;
    this.#trends.stop();
  }

  focusFirst() {
    this.#table.focus(0);
  }

  #sort(column) {
    const { sort, order } = this.#viewing.view;
    const first = column.kind === "words" ? "asc" : "desc";
    const other = first === "asc" ? "desc" : "asc";
    this.#viewing.change({ sort: column.id, order: sort === column.id && order === first ? other : first });
  }

  #showEmpty(isEmpty, view) {
    const node = byId("functions-empty");
    node.hidden = !isEmpty;
    if (!isEmpty) return;
    const isFiltered = view.search !== "" || view.service !== "" || view.version !== "" || view.span !== "";
    if (node.dataset.filtered === String(isFiltered)) return;
    node.dataset.filtered = String(isFiltered);
    node.replaceChildren(...(isFiltered ? this.#filtered() : nothingYet()));
  }

  #filtered() {
    const button = make("button", { type: "button" }, "Show everything in the window");
    button.addEventListener("click", () => this.#viewing.change({ search: "", service: "", version: "", span: "" }));
    return [make("h2", {}, "No calls fit this view"), make("p", {}, "Nothing was timed in this span with these filters."), button];
  }
}

function nothingYet() {
  return [
    make("h2", {}, "No calls yet"),
    make("p", {}, "Start an app with its ingest key, and its functions appear here within a second or two:"),
    make("pre", {}, `ENABLE_PROFILING=true CHRONOPROF_URL=${location.origin} \\\nCHRONOPROF_API_KEY=… chronoprof run --middleware shop:app -- gunicorn shop:app`),
  ];
}

function sorted(rows, { sort, order }) {
  const sign = order === "asc" ? 1 : -1;
  const byName = (a, b) => (a.function_name < b.function_name ? -1 : 1);
  if (sort === "function_name") return rows.sort((a, b) => sign * byName(a, b));
  return rows.sort((a, b) => sign * (a[sort] - b[sort]) || byName(a, b));
}
