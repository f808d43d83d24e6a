// Asking for the key of this tab: once, and again when the sidecar refuses it.

import { byId, setText } from "./dom.js";

export class KeyPrompt {
  #keys;
  #dialog = byId("key-dialog");

  /** Take the holder of the key, and what to call once there is one. */
  constructor(keys, onKey) {
    this.#keys = keys;
    this.#dialog.addEventListener("cancel", (event) => this.#keys.key === null && event.preventDefault());
    byId("key-form").addEventListener("submit", () => {
      const key = byId("key").value.trim();
      byId("key").value = "";
      if (key === "") return;
      this.#keys.keep(key);
      onKey();
    });
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Ask; `problem` says what was wrong with the last one. */
  open(problem = "") {
    setText(byId("key-problem"), problem);
    byId("key").setAttribute("aria-invalid", String(problem !== ""));
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("key").focus();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }
}
