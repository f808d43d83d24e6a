// How each function in sight went over the span: asked one function at a time, since the sidecar finds one quickly, and
// kept until a step has passed. Knows nothing of the table.

import { historyOf, trendStep } from "./spans.js";

const AT_ONCE = 2;
const KEPT_MS = 60_000;
const SETTLE_MS = 150; // a row that is scrolled past is not asked for
const MOST_KEPT = 2000;

export class Trends {
  #api;
  #onChange;
  #query = {};
  #known = new Map(); // by function name: {values, at}
  #wanted = [];
  #asking = new Set();
  #timer = 0;
  #abort = new AbortController();

  /** Take the API, and what to call when a trend has come in. */
  constructor(api, onChange) {
    this.#api = api;
    this.#onChange = onChange;
  }

  /** Begin anew if something else than before is looked at. */
  look({ span, service, version }, windowStart) {
    const query = { ...historyOf(span, windowStart), step: trendStep(span, windowStart), service, version };
    if (JSON.stringify(query) === JSON.stringify(this.#query)) return;
    this.stop();
    this.#query = query;
    this.#known.clear();
  }

  /** The p95 of a function step by step, undefined while nothing is known. */
  of(name) {
    return this.#known.get(name)?.values;
  }

  /** Say which functions are in sight. */
  want(names) {
    const oldest = performance.now() - KEPT_MS;
    this.#wanted = names.filter((name) => !(this.#known.get(name)?.at > oldest));
    clearTimeout(this.#timer);
    if (this.#wanted.length > 0) this.#timer = setTimeout(() => this.#askNext(), SETTLE_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#wanted = [];
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#asking.clear();
  }

  #askNext() {
    while (this.#asking.size < AT_ONCE && this.#wanted.length > 0) {
      const name = this.#wanted.shift();
      if (!this.#asking.has(name)) this.#ask(name, this.#abort.signal);
    }
  }

  async #ask(name, signal) {
    this.#asking.add(name);
    try {
      const { steps } = await this.#api.get("history", { ...this.#query, function_name: name }, signal);
      this.#keep(name, steps.map((step) => step.p95_time));
    } catch {
      this.#wanted = []; // whoever polls finds out why, and says it; the next drawing asks again
    }
    if (signal.aborted) return;
    this.#asking.delete(name);
    this.#onChange();
    this.#askNext();
  }

  #keep(name, values) {
    if (this.#known.size >= MOST_KEPT) this.#known.delete(this.#known.keys().next().value);
    this.#known.delete(name);
    this.#known.set(name, { values, at: performance.now() });
  }
}
