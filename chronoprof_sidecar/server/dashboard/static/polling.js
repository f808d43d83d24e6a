// Asking again and again: soon when answers are quick, seldom when they are not, not at all while nobody looks.

const LONGEST_MS = 30_000;
const LOAD_FACTOR = 10; // at most a tenth of the time is spent on answers
const BACKOFF_MS = [1000, 2000, 4000, 8000, 15_000];

export class Poller {
  #ask;
  #timer = 0;
  #abort = null;
  #failures = 0;
  #running = false;

  /** The shortest pause between two answers. */
  shortestMs = 2000;

  /** Take `ask(signal)`: it returns true if the server answered, and false if it should be asked again with patience. */
  constructor(ask) {
    this.#ask = ask;
    document.addEventListener("visibilitychange", () => {
      if (this.#running && document.visibilityState === "visible") this.now();
    });
  }

  get running() {
    return this.#running;
  }

  start() {
    this.#running = true;
    this.now();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  /** Ask at once, whatever is under way. */
  async now() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const began = performance.now();
    const answered = await this.#ask(abort.signal);
    if (abort.signal.aborted) return; // a newer request has taken over
    this.#failures = answered ? 0 : this.#failures + 1;
    if (this.#running) this.#timer = setTimeout(() => this.#next(), this.#pause(performance.now() - began));
  }

  /** How long until the next attempt after so many failures, in seconds; for those who wait. */
  get patienceSeconds() {
    return BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] / 1000;
  }

  #pause(tookMs) {
    if (this.#failures > 0) return BACKOFF_MS[Math.min(this.#failures - 1, BACKOFF_MS.length - 1)];
    return Math.min(Math.max(tookMs * LOAD_FACTOR, this.shortestMs), Math.max(LONGEST_MS, this.shortestMs));
  }

  #next() {
    if (document.visibilityState === "visible") this.now(); // else the event above goes on
  }
}
