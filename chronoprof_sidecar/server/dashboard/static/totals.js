// The strip of totals: how much work there is, how it went over the span, and which window this is.

import { make, setText } from "./dom.js";
import { count, duration, grouped, joined, moment, rate, share } from "./format.js";
import { makeFigure, showFigure } from "./cells.js";
import { historyOf, secondsOf } from "./spans.js";
import { makeSparkline, showSparkline } from "./sparkline.js";

const ASKED_EVERY_MS = 10_000;
const CARDS = [
  ["calls", "Calls", "calls", (step) => step.calls],
  ["time", "Time in calls", "time", (step) => step.total_time],
  ["slow", "p95 of all calls", "slow", (step) => step.p95_time],
  ["errors", "Errors", "errors", (step) => step.errors],
];

export class Totals {
  #api;
  #cards = new Map();
  #window = { title: make("p", { class: "card-figure" }), note: make("p", { class: "card-note" }) };
  #asked = { key: "", at: -Infinity };
  #steps = [];

  constructor(root, api) {
    this.#api = api;
    for (const [id, title, kind] of CARDS) root.append(this.#makeCard(id, title, kind));
    const manage = make("a", { href: "#saves", class: "card-link" }, "Save, rotate, reset");
    root.append(make("section", { class: "card card-window" }, make("h2", {}, "Window"), this.#window.title, this.#window.note, manage));
  }

  /** Show the figures of an answer of `GET data`; `rows` are those of the answer. */
  show(rows, meta, view) {
    const sum = (column) => rows.reduce((total, row) => total + row[column], 0);
    const [seconds, calls, time, errors] = [secondsOf(meta), sum("calls"), sum("total_time"), sum("errors")];
    this.#showCard("calls", rate(calls / seconds), `${joined(count(calls))} calls in ${joined(duration(seconds))}`);
    this.#showCard("time", perSecond(time / seconds), `${joined(duration(time))} in all processes`);
    this.#showCard("errors", share(calls > 0 ? errors / calls : 0), `${joined(count(errors))} calls raised or answered 5xx`);
    this.#cards.get("errors").root.classList.toggle("bad", errors > 0);
    setText(this.#window.title, `Generation ${grouped(meta.generation)}`);
    setText(this.#window.note, `since ${moment(meta.window_start)}`);
    this.#showSlow(view);
  }

  /** Ask how it went over the span, unless that was asked just now. */
  async refresh(view, meta, signal) {
    const query = { ...historyOf(view.span, meta.window_start), service: view.service, version: view.version };
    const key = JSON.stringify(query);
    const now = performance.now();
    if (this.#asked.key === key && now - this.#asked.at < ASKED_EVERY_MS) return;
    if (this.#asked.key !== key) this.#steps = [];
    this.#asked = { key, at: now };
    try {
      this.#steps = (await this.#api.get("history", query, signal)).steps;
    } catch {
      this.#asked.key = ""; // whoever polls finds out why, and says it
      return;
    }
    this.#showCharts();
    this.#showSlow(view);
  }

  #showCharts() {
    // The last step is still filling up, so that sums of it would fall off.
    const full = this.#steps.length > 2 ? this.#steps.slice(0, -1) : this.#steps;
    const lost = full.map((step) => !step.complete);
    for (const [id, , , valueOf] of CARDS) showSparkline(this.#cards.get(id).chart, full.map(valueOf), lost);
  }

  #showSlow(view) {
    const steps = this.#steps.filter((step) => step.p95_time !== null);
    const worst = steps.reduce((most, step) => (most && most.p95_time >= step.p95_time ? most : step), null);
    this.#showCard("slow", duration(steps.at(-1)?.p95_time), worst ? `at most ${joined(duration(worst.p95_time))}, ${moment(worst.start)}` : view.span === "" ? "not known yet" : "no calls");
  }

  #showCard(id, figure, note) {
    const card = this.#cards.get(id);
    showFigure(card.figure, figure);
    setText(card.note, note);
  }

  #makeCard(id, title, kind) {
    const card = { figure: makeFigure(), note: make("p", { class: "card-note" }), chart: makeSparkline() };
    card.root = make("section", { class: `card card-${kind}` }, make("h2", {}, title), make("p", { class: "card-figure" }, card.figure), card.note, card.chart);
    this.#cards.set(id, card);
    return card.root;
  }
}

/** Time spent in calls per second of time: `1.8 s/s` is nearly two processes at work. */
function perSecond(value) {
  const [digits, unit] = duration(value);
  return [digits, unit && `${unit}/s`];
}
