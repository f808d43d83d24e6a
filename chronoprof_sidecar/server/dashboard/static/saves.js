// The current window and the saved ones: what there is, and what can be done with it.

import { byId, make, setText } from "./dom.js";
import { makeFigure, makeText, showFigure, showText } from "./cells.js";
import { bytes, count, grouped, joined, moment } from "./format.js";
import { Table } from "./table.js";

export class SavesPage {
  root = byId("saves-page");
  everyMs = 5000;
  #api;
  #window = null;
  #table;

  constructor(api, actions) {
    this.#api = api;
    this.#table = new Table(byId("saves-table"), { label: "Saves", keyOf: (save) => save.name, columns: this.#columns() });
    for (const action of ["save", "rotate", "reset"]) {
      byId(action).addEventListener("click", () => this.#window !== null && actions.open(action, this.#window));
    }
  }

  async ask(_view, signal) {
    const [{ saves }, { data, meta }] = await Promise.all([this.#api.get("saves", {}, signal), this.#api.get("data", {}, signal)]);
    return { saves, meta, calls: Object.values(data).reduce((sum, row) => sum + row.calls, 0) };
  }

  show({ saves, meta, calls }) {
    this.#window = { ...meta, calls };
    setText(
      byId("window-lead"),
      `The current window is generation ${grouped(meta.generation)}: ${joined(count(calls))} calls of ${grouped(meta.functions)} functions since ${moment(meta.window_start)}.`,
    );
    this.#table.show(saves, {});
    setText(byId("saves-caption"), saves.length === 1 ? "1 save" : `${grouped(saves.length)} saves, the newest first`);
    byId("saves-empty").hidden = saves.length > 0;
    byId("saves-empty").replaceChildren(make("h2", {}, "No saves yet"), make("p", {}, "A save holds a whole window: to keep, to compare, to merge."));
  }

  #columns() {
    return [
      { id: "save-name", title: "Name", kind: "words", make: makeText, show: (node, save) => showText(node, save.name) },
      { id: "size", title: "Size", make: makeFigure, show: (node, save) => showFigure(node, bytes(save.size_bytes)) },
      { id: "written", title: "Written", make: makeFigure, show: (node, save) => showFigure(node, [moment(save.modified), ""]) },
      { id: "links", title: "", kind: "words", make: () => this.#makeLinks(), show: showLinks },
    ];
  }

  #makeLinks() {
    const compare = make("a", {}, "Compare with now");
    const button = make("button", { type: "button", class: "quiet" }, "Download");
    button.addEventListener("click", () => this.#download(button.dataset.name));
    return make("span", { class: "links" }, compare, button);
  }

  /** The key goes in a header, which a plain link could not carry. */
  async #download(name) {
    try {
      const address = URL.createObjectURL(await this.#api.getFile(`saves/${encodeURIComponent(name)}`));
      make("a", { href: address, download: name }).click();
      URL.revokeObjectURL(address);
      setText(byId("said"), `${name} is downloaded.`);
    } catch (error) {
      setText(byId("problem"), `${name}: ${error.message}.`);
      byId("problem").hidden = false;
    }
  }
}

function showLinks(node, save) {
  const [compare, button] = node.children;
  compare.hidden = !save.name.endsWith(".json");
  compare.href = `#compare?${new URLSearchParams({ base: save.name, head: "live" })}`;
  button.dataset.name = save.name;
  button.setAttribute("aria-label", `Download ${save.name}`);
}
