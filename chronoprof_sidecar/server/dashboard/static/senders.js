// Which processes ship, and which fell silent. Owns what is called silent.

import { byId, make, setAttribute, setText } from "./dom.js";
import { makeFigure, makeText, showFigure, showText } from "./cells.js";
import { age, count, grouped, moment } from "./format.js";
import { Table } from "./table.js";

const SILENT_SECONDS = 60; // a process that is called ships every second, and tries once a minute without an answer
const STATES = { live: "Live", silent: "Silent", ended: "Ended" };

const text = (id, title, valueOf) => ({ id, title, kind: "words", make: makeText, show: (node, row) => showText(node, valueOf(row)) });
const figure = (id, title, hint, valueOf) => ({ id, title, hint, make: makeFigure, show: (node, row) => showFigure(node, valueOf(row)) });
const COLUMNS = [
  text("instance", "Instance", (row) => row.instance || row.id),
  { id: "state", title: "State", kind: "words", make: () => make("span", { class: "sender-state" }), show: showState },
  text("service-name", "Service", (row) => row.service || "–"),
  text("version-name", "Version", (row) => row.version || "–"),
  figure("last-batch", "Last batch", "When its last batch was counted", (row) => [moment(row.last_batch), ""]),
  figure("batches", "Batches", "Batches that were counted", (row) => count(row.batches)),
  figure("calls", "Calls", "Calls that it shipped", (row) => count(row.calls)),
  figure("lost", "Lost", "Calls dropped, rejected or unknown, by its own account", (row) => count(lostOf(row))),
];

export class SendersPage {
  root = byId("senders-page");
  everyMs = 5000;
  #api;
  #table = new Table(byId("senders-table"), { label: "Senders", columns: COLUMNS, keyOf: (row) => row.id });

  constructor(api) {
    this.#api = api;
  }

  async ask(_view, signal) {
    const { senders } = await this.#api.get("senders", {}, signal);
    return { senders, versions: senders.map((sender) => sender.version) };
  }

  show({ senders }, view) {
    const rows = senders.filter((sender) => view.service === "" || sender.service === view.service);
    const states = rows.map(stateOf);
    const number = (state) => states.filter((each) => each === state).length;
    const order = ["silent", "live", "ended"];
    rows.sort((a, b) => order.indexOf(stateOf(a)) - order.indexOf(stateOf(b)) || b.silent_seconds - a.silent_seconds);
    this.#table.show(rows, {});
    setText(byId("senders-caption"), `${grouped(number("live"))} live, ${grouped(number("silent"))} silent, ${grouped(number("ended"))} ended in order`);
    byId("silence").hidden = number("silent") === 0;
    setText(byId("silence"), silenceOf(rows));
    byId("senders-empty").hidden = rows.length > 0;
    byId("senders-empty").replaceChildren(make("h2", {}, "No process has shipped anything yet"), make("p", {}, "Each appears with its first batch."));
  }
}

function stateOf(sender) {
  if (sender.final) return "ended";
  return sender.silent_seconds >= SILENT_SECONDS ? "silent" : "live";
}

function showState(node, row) {
  const state = stateOf(row);
  setAttribute(node, "data-state", state);
  setText(node, state === "silent" ? `Silent for ${age(row.silent_seconds)}` : STATES[state]);
}

function lostOf(sender) {
  return sender.dropped + sender.rejected + sender.unknown;
}

/** What it may mean that processes say nothing, service by service. */
function silenceOf(rows) {
  const running = Map.groupBy(rows.filter((row) => !row.final), (row) => row.service);
  return [...running].flatMap(([service, senders]) => {
    const silent = senders.filter((sender) => stateOf(sender) === "silent");
    if (silent.length === 0) return [];
    const rest = silent.length < senders.length ? " while the rest goes on" : "";
    return [`${service || "No service name"}: ${silent.length} of ${senders.length} fell silent without a last batch${rest}: killed, hung, cut off, or not called any more?`];
  }).join(" ");
}
