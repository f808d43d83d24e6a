// Two windows side by side: versions, saves, spans or the live window; the largest change first, noise said and muted.

import { byId, make, setAttribute, setOptions, setText } from "./dom.js";
import { makeFigure, makeName, showFigure, showName } from "./cells.js";
import { count, duration, grouped, joined } from "./format.js";
import { list } from "./losses.js";
import { Table } from "./table.js";

const MOST_ROWS = 2000;
const SPANS = [
  ["-1h..now", "The last hour"], ["-2h..-1h", "The hour before"],
  ["-1d..now", "The last 24 hours"], ["-2d..-1d", "The 24 hours before"],
];
const VERDICTS = {
  slower: ["▲", "slower, beyond chance"],
  faster: ["▼", "faster, beyond chance"],
  noise: ["~", "chance may have done it"],
  "not enough": ["?", "too few calls to say"],
};
const FULL_BAR = Math.log(4); // a change by a factor of four fills half of the bar

const figure = (id, title, valueOf) => ({ id, title, make: makeFigure, show: (node, row) => showFigure(node, valueOf(row)) });
const COLUMNS = [
  { id: "function_name", title: "Function", kind: "words", make: makeName, show: (node, row) => showName(node, row.name) },
  figure("base-p95", "Base p95", (row) => duration(row.base?.p95_time)),
  figure("head-p95", "Head p95", (row) => duration(row.head?.p95_time)),
  { id: "change-bar", title: "Change of p95", kind: "picture", make: makeChangeBar, show: (node, row) => showChangeBar(node, row, "p95_time") },
  ...["p50", "p95", "p99", "avg"].map((name) => ({
    id: `ratio-${name}`, title: name, make: makeRatio, show: (node, row) => showRatio(node, row, `${name}_time`),
  })),
  figure("calls", "Calls", (row) => count(row.head?.calls ?? row.base?.calls)),
  { id: "verdict", title: "Verdict on p95", kind: "words", make: () => make("span", { class: "verdict" }), show: showVerdict },
];

export class ComparePage {
  root = byId("compare-page");
  everyMs = 15_000;
  #api;
  #viewing;
  #header;
  #table = new Table(byId("compare-table"), { label: "Changes, the largest first", columns: COLUMNS, keyOf: (row) => row.name });
  #rows = null;
  #functions = 0;

  constructor(api, viewing, header) {
    this.#api = api;
    this.#viewing = viewing;
    this.#header = header;
    for (const side of ["base", "head"]) {
      byId(side).addEventListener("change", (event) => viewing.change({ ...this.#sides, [side]: event.target.value }, { step: true }));
    }
    byId("swap").addEventListener("click", () => viewing.change({ base: this.#sides.head, head: this.#sides.base }, { step: true }));
    byId("hide-noise").addEventListener("change", (event) => viewing.change({ noise: event.target.checked ? "hidden" : "" }));
  }

  async ask(view, signal) {
    const [{ saves }] = await Promise.all([this.#api.get("saves", {}, signal), this.#header.learn(this.#api)]);
    this.#offer(saves.map((save) => save.name).filter((name) => name.endsWith(".json")));
    return this.#api.get("compare", { ...this.#sides, service: view.service, limit: MOST_ROWS }, signal);
  }

  show({ data, meta }, view) {
    this.#rows = Object.entries(data).map(([name, change]) => ({ name, ...change }));
    this.#functions = meta.functions;
    this.#header.offer({ services: [...meta.base.services, ...meta.head.services] });
    const losses = [meta.base, meta.head].filter((side) => !side.complete).map((side) => `${side.name}: ${list(side)}`);
    byId("compare-losses").hidden = losses.length === 0;
    setText(byId("compare-losses"), `Not complete. ${losses.join(" · ")}.`);
    this.arrange(view);
  }

  arrange(view) {
    byId("hide-noise").checked = view.noise === "hidden";
    if (this.#rows === null) return;
    const rows = view.noise === "hidden" ? this.#rows.filter(isBeyondChance) : this.#rows;
    this.#table.show(rows, {});
    const withVerdict = (verdict) => this.#rows.filter((row) => row.verdict.p95_time === verdict).length;
    setText(
      byId("compare-caption"),
      `${grouped(this.#functions)} functions, the largest change of total time first. p95: ${grouped(withVerdict("slower"))} slower and ` +
        `${grouped(withVerdict("faster"))} faster beyond chance (99 %), ${grouped(withVerdict("noise"))} that chance explains.`,
    );
    byId("compare-empty").hidden = rows.length > 0;
    byId("compare-empty").replaceChildren(
      make("h2", {}, this.#rows.length > 0 ? "Nothing changed beyond chance" : "No calls on either side"),
      make("p", {}, this.#rows.length > 0 ? "Show what chance explains to see every function." : "Choose other windows above."),
    );
  }

  clear() {
    this.#rows = null;
  }

  /** The two windows: those of the address, else the two newest versions, else the last two hours. */
  get #sides() {
    const { base, head } = this.#viewing.view;
    const versions = this.#header.versions;
    const usual = versions.length > 1 ? [`version:${versions.at(-2)}`, `version:${versions.at(-1)}`] : ["-2h..-1h", "-1h..now"];
    return { base: base || usual[0], head: head || usual[1] };
  }

  #offer(saves) {
    const versions = this.#header.versions.map((version) => [`version:${version}`, `Version ${version}`]);
    const options = [["live", "The current window"], ...versions, ...SPANS, ...saves.map((name) => [name, name])];
    for (const [side, value] of Object.entries(this.#sides)) {
      const known = options.some(([option]) => option === value);
      setOptions(byId(side), known ? options : [...options, [value, value]], value);
    }
  }
}

function isBeyondChance(row) {
  return row.base === null || row.head === null || Object.values(row.verdict).some((each) => each === "slower" || each === "faster");
}

function makeChangeBar() {
  return make("span", { class: "change", "aria-hidden": "true" }, make("span", { class: "change-bar" }));
}

/** A bar from the middle: to the right what got slower, to the left what got faster, by the logarithm of the ratio. */
function showChangeBar(node, row, column) {
  const ratio = row.ratio[column];
  const part = ratio > 0 ? Math.max(-1, Math.min(1, Math.log(ratio) / FULL_BAR)) : 0;
  node.firstChild.style.transform = `scaleX(${part.toFixed(4)})`;
  setAttribute(node, "data-verdict", row.verdict[column] ?? undefined);
}

function makeRatio() {
  return make("span", { class: "ratio" }, make("span"), make("span", { class: "mark-sign", "aria-hidden": "true" }), make("span", { class: "spoken" }));
}

function showRatio(node, row, column) {
  const [digits, sign, words] = node.children;
  const verdict = VERDICTS[row.verdict[column]];
  const ratio = row.ratio[column];
  setText(digits, Number.isFinite(ratio) ? `${ratio < 9.995 ? ratio.toFixed(2) : ratio.toFixed(0)}×` : "–");
  setText(sign, verdict?.[0] ?? "");
  setText(words, verdict ? `, ${verdict[1]}` : "");
  setAttribute(node, "data-verdict", row.verdict[column] ?? undefined);
  const difference = row.difference[column];
  setAttribute(node, "title", verdict && `${difference < 0 ? "−" : "+"}${joined(duration(Math.abs(difference)))}: ${verdict[1]}`);
}

function showVerdict(node, row) {
  const onlyOne = row.base === null ? "only in head" : row.head === null ? "only in base" : null;
  const verdict = row.verdict.p95_time;
  setText(node, onlyOne ?? VERDICTS[verdict]?.[1] ?? "");
  setAttribute(node, "data-verdict", onlyOne ? "only" : (verdict ?? undefined));
}
