// The API key of this tab: kept in sessionStorage until the tab is closed, and never put anywhere else.

const NAME = "chronoprof.key";

export class KeyHolder {
  #storage;

  /** Take where to keep the key: `sessionStorage`. */
  constructor(storage) {
    this.#storage = storage;
  }

  /** The key, or null. */
  get key() {
    return this.#storage.getItem(NAME);
  }

  keep(key) {
    this.#storage.setItem(NAME, key);
  }

  forget() {
    this.#storage.removeItem(NAME);
  }
}
