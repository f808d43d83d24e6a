// Whether the page is live: the pill in the header, the notice while the sidecar is away, and what is read aloud of it.

import { byId, setText } from "./dom.js";
import { age } from "./format.js";

const STATES = {
  waiting: ["Waiting", ""],
  live: ["Live", "Live again."],
  paused: ["Paused", "Paused."],
  away: ["Away", "The sidecar does not answer."],
  locked: ["Locked", "A key is needed."],
};
const TICK_MS = 1000;

export class Connection {
  #state = "waiting";
  #answeredAt = null;

  constructor() {
    setInterval(() => this.#showAge(), TICK_MS);
  }

  get state() {
    return this.#state;
  }

  answered(isPaused) {
    this.#answeredAt = Date.now();
    byId("away").hidden = true;
    this.become(isPaused ? "paused" : "live");
  }

  /** Say that nothing comes back, why, and when it is tried again. */
  away(reason, patienceSeconds) {
    const since = this.#answeredAt === null ? "" : " The figures below are the last that came.";
    setText(byId("away"), `${reason}.${since} Trying again every ${patienceSeconds} s.`);
    byId("away").hidden = false;
    this.become("away");
  }

  become(state) {
    if (state !== this.#state && !(this.#state === "waiting" && state === "live")) setText(byId("said"), STATES[state][1]);
    this.#state = state;
    byId("live").dataset.state = state;
    setText(byId("live-text"), STATES[state][0]);
    this.#showAge();
  }

  #showAge() {
    const seconds = this.#answeredAt === null ? null : (Date.now() - this.#answeredAt) / 1000;
    // Of a live page only a delay is worth a word: a figure that counts up and down all the time is noise.
    setText(byId("live-age"), seconds !== null && seconds >= 10 ? ` · ${age(seconds)} old` : "");
  }
}
