// Save, rotate and reset: each says what it will do before it does it. Owns their words, and asks for an admin key, for
// this one action, where the page's own may only read.

import { Refusal } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { count, grouped, joined, moment } from "./format.js";

const ACTIONS = {
  save: {
    title: "Save the window", submit: "Save", option: "Replace a file of this name",
    text: (window) => [`Writes ${of(window)} to a file in the sidecar's save directory. The window goes on.`, "A name that ends in .csv makes an export for spreadsheets, which cannot be compared later. Without a name, the file is named by the time."],
    query: (_window, name, option) => ({ file_path: name, overwrite: option }),
    done: (answer) => answer.message,
  },
  rotate: {
    title: "Save and begin a new window", submit: "Rotate",
    text: (window) => [`Writes ${of(window)} to a file, and begins generation ${grouped(window.generation + 1)} as one step: no call is lost or counted twice.`, "An existing file is never replaced. Minutes and hours of the history stay."],
    query: (window, name) => ({ file_path: name, generation: window.generation }),
    done: (answer) => `${answer.message}; generation ${answer.generation} began`,
  },
  reset: {
    title: "Reset the window", submit: "Delete and begin anew", option: "Erase the history of minutes and hours, too", isDanger: true,
    text: (window) => [`Deletes ${of(window)}, and begins generation ${grouped(window.generation + 1)}.`, "This cannot be undone, and no file is written. To keep the figures, rotate instead."],
    query: (window, _name, option) => ({ generation: window.generation, history: option }),
    done: () => "The window was reset",
  },
};

export class Actions {
  #api;
  #onDone;
  #dialog = byId("action-dialog");
  #current = null;

  constructor(api, onDone) {
    this.#api = api;
    this.#onDone = onDone;
    byId("action-cancel").addEventListener("click", () => this.#dialog.close());
    byId("action-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#carryOut();
    });
    this.#dialog.addEventListener("close", () => (byId("action-key").value = ""));
  }

  /** Ask whether to do `name` to the window that was shown. */
  open(name, window) {
    const action = ACTIONS[name];
    this.#current = { name, action, window };
    setText(byId("action-title"), action.title);
    byId("action-text").replaceChildren(...action.text(window).map((text) => make("p", {}, text)));
    setText(byId("action-submit"), action.submit);
    byId("action-submit").classList.toggle("danger", action.isDanger === true);
    byId("name-field").hidden = name === "reset";
    byId("option-field").hidden = action.option === undefined;
    setText(byId("option-text"), action.option ?? "");
    for (const id of ["action-name", "action-key"]) byId(id).value = "";
    byId("action-option").checked = false;
    byId("action-name").placeholder = name === "save" ? "named by the time" : "named by the time (.json)";
    byId("admin-field").hidden = true;
    setText(byId("action-problem"), "");
    this.#dialog.showModal();
    byId(name === "reset" ? "action-cancel" : "action-name").focus();
  }

  async #carryOut() {
    const { name, action, window } = this.#current;
    const key = byId("admin-field").hidden ? undefined : byId("action-key").value.trim();
    byId("action-submit").disabled = true;
    try {
      const answer = await this.#api.post(name, action.query(window, byId("action-name").value.trim(), byId("action-option").checked), key);
      this.#dialog.close();
      setText(byId("said"), `${action.done(answer)}.`);
      this.#onDone();
    } catch (error) {
      this.#explain(error);
    } finally {
      byId("action-submit").disabled = false;
    }
  }

  #explain(error) {
    const needsAdmin = error instanceof Refusal && (error.status === 403 || error.status === 401);
    if (needsAdmin) byId("admin-field").hidden = false;
    const isFirst = needsAdmin && byId("action-key").value === "";
    setText(byId("action-problem"), isFirst ? "The key of this tab may not do that. An admin key may; it is used once and not kept." : `${error.message}.`);
    if (needsAdmin) byId("action-key").focus();
  }
}

function of(window) {
  return `generation ${grouped(window.generation)} (${joined(count(window.calls))} calls of ${grouped(window.functions)} functions since ${moment(window.window_start)})`;
}
