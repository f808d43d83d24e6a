// The page's wiring: the view decides which page is shown, one poller asks for it, and every refusal has its place.

import { Actions } from "./actions.js";
import { Api, Refusal, Unreachable } from "./api.js";
import { ComparePage } from "./compare.js";
import { Connection } from "./connection.js";
import { byId, setAttribute, setText } from "./dom.js";
import { FunctionPage } from "./function.js";
import { FunctionsPage } from "./functions.js";
import { Header } from "./header.js";
import { KeyHolder } from "./key.js";
import { Poller } from "./polling.js";
import { KeyPrompt } from "./prompt.js";
import { SavesPage } from "./saves.js";
import { SendersPage } from "./senders.js";
import { Viewing, formatView } from "./view.js";
import { listenToKeys } from "./shortcuts.js";

const BUSY = new Set([408, 429, 500, 502, 503, 504]);
const KEYS_WANTED = "The sidecar does not know this key. Was it copied whole, or changed since?";
const ROLE_WANTED = "This key may not read the figures; an ingest key only sends. A read or an admin key is needed.";
const LOCAL = new Set(["search", "sort", "order", "noise"]); // parts of the view that need no new answer

const keys = new KeyHolder(sessionStorage);
const api = new Api(keys);
const viewing = new Viewing();
const header = new Header(viewing);
const connection = new Connection();
const prompt = new KeyPrompt(keys, () => poller.start());
const actions = new Actions(api, () => poller.now());
const pages = {
  functions: new FunctionsPage(api, viewing),
  function: new FunctionPage(api, viewing, header),
  compare: new ComparePage(api, viewing, header),
  senders: new SendersPage(api),
  saves: new SavesPage(api, actions),
};
const poller = new Poller(ask);
const scrolls = new Map(); // where each view was left
let isPaused = false;

async function ask(signal) {
  const view = viewing.view;
  const page = pageOf(view);
  try {
    const answer = await page.ask(view, signal);
    if (signal.aborted) return true;
    prompt.close();
    byId("problem").hidden = true;
    header.offer({ services: answer.meta?.services, versions: answer.versions });
    page.show(answer, view, signal);
    setAttribute(byId("main"), "aria-busy", false);
    document.documentElement.dataset.drawn = view.page; // for who waits for it: benchmarks and tests
    connection.answered(isPaused);
    header.learn(api);
    if (isPaused) poller.stop();
    return true;
  } catch (error) {
    if (signal.aborted) return true;
    return refused(error);
  }
}

/** Say what went wrong where it belongs; return whether the sidecar answered at all. */
function refused(error) {
  if (error instanceof Refusal && (error.status === 401 || error.status === 403)) {
    poller.stop();
    const isFirst = keys.key === null;
    keys.forget();
    connection.become("locked");
    prompt.open(isFirst ? "" : error.status === 401 ? KEYS_WANTED : ROLE_WANTED);
    return true;
  }
  if (error instanceof Unreachable || (error instanceof Refusal && BUSY.has(error.status))) {
    connection.away(sentence(error.message), poller.patienceSeconds);
    return false;
  }
  if (!(error instanceof Refusal)) throw error;
  setText(byId("problem"), `${sentence(error.message)}.`);
  byId("problem").hidden = false;
  setAttribute(byId("main"), "aria-busy", false);
  connection.answered(isPaused);
  return true;
}

function pageOf(view) {
  return view.page === "functions" && view.function !== "" ? pages.function : pages[view.page];
}

function showPage(view) {
  const shown = pageOf(view);
  for (const page of Object.values(pages)) page.root.hidden = page !== shown;
  header.show(view);
  poller.shortestMs = shown.everyMs;
}

viewing.addEventListener("change", ({ detail: { before } }) => {
  const view = viewing.view;
  const [from, to] = [pageOf(before), pageOf(view)];
  scrolls.set(from, scrollY);
  showPage(view);
  byId("problem").hidden = true;
  if (from !== to) {
    scrollTo(0, to === pages.functions ? (scrolls.get(to) ?? 0) : 0);
    if (from !== pages.functions || to !== pages.functions) byId("main").focus({ preventScroll: true });
  }
  to.arrange?.(view);
  if (from === to && differsOnlyIn(before, view, LOCAL)) return;
  setAttribute(byId("main"), "aria-busy", true);
  if (from === to) to.clear?.();
  if (!prompt.isOpen) poller.now();
});

function differsOnlyIn(before, view, names) {
  return Object.keys(view).every((name) => before[name] === view[name] || names.has(name));
}

function pause() {
  isPaused = !isPaused;
  setAttribute(byId("pause"), "aria-pressed", String(isPaused));
  setText(byId("pause"), isPaused ? "Resume" : "Pause");
  if (isPaused) {
    poller.stop();
    connection.become("paused");
  } else {
    poller.start();
  }
}

byId("pause").addEventListener("click", pause);
byId("change-key").addEventListener("click", () => {
  poller.stop();
  keys.forget();
  connection.become("locked");
  prompt.open();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part of the address behind # is the view's
  byId("main").focus();
});
listenToKeys({
  pause,
  focusTable: () => pageOf(viewing.view).focusFirst?.(),
  back: () => viewing.view.function !== "" && viewing.change({ function: "" }, { step: true }),
  clearSearch: () => viewing.change({ search: "" }),
});

if (location.hash === "") history.replaceState(null, "", formatView(viewing.view));
showPage(viewing.view);
setAttribute(byId("main"), "aria-busy", true);
if (keys.key === null) {
  connection.become("locked");
  prompt.open();
} else {
  poller.start();
}

function sentence(message) {
  return message === "" ? "The sidecar refused" : message[0].toUpperCase() + message.slice(1);
}
