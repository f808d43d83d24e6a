// What is looked at, as the part of the address behind `#`: it can be shared, and never reaches a server or its logs.

import { SPANS } from "./spans.js";

const DEFAULTS = {
  page: "functions",
  span: "",
  service: "",
  version: "",
  search: "",
  sort: "total_time",
  order: "desc",
  function: "",
  base: "",
  head: "",
  noise: "",
};
const PAGES = ["functions", "compare", "senders", "saves"];

/** Return the view that an address's hash describes; whatever is not understood has its default. */
export function parseView(hash) {
  const [page, query = ""] = splitOnce(hash.replace(/^#/, ""), "?");
  const view = { ...DEFAULTS };
  if (PAGES.includes(page)) view.page = page;
  for (const [name, value] of new URLSearchParams(query)) {
    if (name !== "page" && name in DEFAULTS) view[name] = value;
  }
  if (!SPANS.some(([value]) => value === view.span)) view.span = "";
  if (!["asc", "desc"].includes(view.order)) view.order = "desc";
  return view;
}

/** Return the hash of a view, the defaults left out. */
export function formatView(view) {
  const query = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    if (name !== "page" && view[name] !== usual) query.set(name, view[name]);
  }
  const text = query.toString();
  return text === "" ? `#${view.page}` : `#${view.page}?${text}`;
}

/** The current view. Dispatches `change` when it is another one, whoever changed it. */
export class Viewing extends EventTarget {
  #view = parseView(location.hash);

  constructor() {
    super();
    // Covers links, the back button and addresses typed by hand.
    addEventListener("hashchange", () => this.#become(parseView(location.hash)));
  }

  get view() {
    return this.#view;
  }

  /** Change parts of the view: as a new entry of the history if `step`, so that Back undoes it. */
  change(parts, { step = false } = {}) {
    const view = { ...this.#view, ...parts };
    const hash = formatView(view);
    if (hash !== location.hash) history[step ? "pushState" : "replaceState"](null, "", hash);
    this.#become(view);
  }

  #become(view) {
    const before = this.#view;
    if (formatView(before) === formatView(view)) return;
    this.#view = view;
    this.dispatchEvent(new CustomEvent("change", { detail: { before } }));
  }
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
