// The header's controls: they show the view and change it. Owns which services and versions there are to choose from.

import { byId, make, setAttribute, setOptions } from "./dom.js";
import { SPANS } from "./spans.js";
import { formatView } from "./view.js";

const WITH_SPAN = new Set(["functions"]);
const SEARCH_SETTLE_MS = 80;
const LEARNED_MS = 30_000;

export class Header {
  #viewing;
  #services = new Set();
  #versions = new Set();
  #timer = 0;
  #learnedAt = -Infinity;
  #learned = Promise.resolve();

  constructor(viewing) {
    this.#viewing = viewing;
    byId("spans").append(...SPANS.map((span) => this.#makeSpan(span)));
    byId("service").addEventListener("change", (event) => viewing.change({ service: event.target.value }, { step: true }));
    byId("version").addEventListener("change", (event) => viewing.change({ version: event.target.value }, { step: true }));
    byId("search").addEventListener("input", () => this.#searchSoon());
    new ResizeObserver(() => this.#measure()).observe(byId("header"));
  }

  /** Show the view in every control. */
  show(view) {
    for (const link of document.querySelectorAll("[data-page]")) {
      setAttribute(link, "aria-current", link.dataset.page === view.page && "page");
      setAttribute(link, "href", formatView({ ...view, page: link.dataset.page, function: "" }));
    }
    const isOne = view.function !== "";
    byId("tools").hidden = !WITH_SPAN.has(view.page);
    byId("search-field").hidden = isOne;
    for (const radio of byId("spans").querySelectorAll("input")) radio.checked = radio.value === view.span;
    if (document.activeElement !== byId("search")) byId("search").value = view.search;
    this.#showChoices(view);
    const what = isOne ? view.function : view.page[0].toUpperCase() + view.page.slice(1);
    document.title = [what, view.service, "chronoprof"].filter(Boolean).join(" · ");
  }

  /** Offer these services and versions, too. */
  offer({ services = [], versions = [] }) {
    services.forEach((service) => this.#services.add(service));
    versions.forEach((version) => this.#versions.add(version));
    this.#showChoices(this.#viewing.view);
  }

  /** Ask the senders for their labels, unless that was done just now. */
  learn(api) {
    if (performance.now() - this.#learnedAt > LEARNED_MS) {
      this.#learnedAt = performance.now();
      this.#learned = this.#learn(api);
    }
    return this.#learned; // the same for all who ask meanwhile
  }

  async #learn(api) {
    try {
      const { senders } = await api.get("senders");
      this.offer({ versions: senders.map((sender) => sender.version) });
    } catch {
      this.#learnedAt = -Infinity; // whoever polls finds out why, and says it
    }
  }

  get versions() {
    return [...this.#versions].filter(Boolean).sort();
  }

  #showChoices({ service, version }) {
    const [services, versions] = [this.#services, this.#versions].map((known) => [...known].filter(Boolean).sort());
    const only = services.length === 1 ? services[0] : "All services";
    setOptions(byId("service"), options(only, services.length === 1 ? [] : services, service), service);
    setOptions(byId("version"), options("All versions", versions, version), version);
  }

  #makeSpan([value, text, spoken]) {
    const radio = make("input", { type: "radio", name: "span", value, "aria-label": spoken });
    radio.addEventListener("change", () => this.#viewing.change({ span: value }, { step: true }));
    return make("label", { class: "span" }, radio, make("span", {}, text));
  }

  #searchSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#viewing.change({ search: byId("search").value }), SEARCH_SETTLE_MS);
  }

  /** What sticks below the header, and what is scrolled to, must know how high it is. */
  #measure() {
    document.documentElement.style.setProperty("--header-height", `${byId("header").offsetHeight}px`);
  }
}

function options(all, values, chosen) {
  const known = chosen !== "" && !values.includes(chosen) ? [...values, chosen] : values;
  return [["", all], ...known.map((value) => [value, value])];
}
