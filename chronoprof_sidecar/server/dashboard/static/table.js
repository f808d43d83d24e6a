// A table of any length that draws only the rows in sight, keeps every row's element while it is in sight, and is a
// real table to a screen reader. Owns scrolling, order of elements and the keyboard; knows nothing of what is shown.
//
// A column is {id, title, hint, kind, sortable, make() -> node, show(node, item, context)}.

import { make, setAttribute } from "./dom.js";

const ROWS_BEYOND = 8; // drawn above and below what is in sight, so that a flick of the wheel shows no gap
const GUESSED_ROW_HEIGHT = 36; // until the first row is measured

export class Table {
  #columns;
  #keyOf;
  #hrefOf;
  #onSort;
  #onDrawn;
  #body = make("tbody", { role: "rowgroup" });
  #table;
  #headers = new Map();
  #items = [];
  #context = {};
  #current = null;
  #rows = new Map(); // by key: {row, cells, key}
  #rowHeight = GUESSED_ROW_HEIGHT;
  #frame = 0;

  /**
   * Take the element to fill and `{label, columns, keyOf(item), hrefOf(item)?, onSort(column)?, onDrawn(items)?}`;
   * with `hrefOf` the first cell is a link, and `onDrawn` learns which items are in sight.
   */
  constructor(root, { label, columns, keyOf, hrefOf = null, onSort = null, onDrawn = null }) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#hrefOf = hrefOf;
    this.#onSort = onSort;
    this.#onDrawn = onDrawn;
    const titles = make("tr", { role: "row", "aria-rowindex": 1 }, ...columns.map((column) => this.#makeHeader(column)));
    this.#table = make(
      "table",
      { role: "table", "aria-label": label, class: "table" },
      make("thead", { role: "rowgroup" }, titles),
      this.#body,
    );
    root.append(this.#table);
    addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    // In a frame of its own: drawing changes the very size that is observed.
    new ResizeObserver(() => this.#drawSoon()).observe(this.#table);
    this.#table.addEventListener("keydown", (event) => this.#onKey(event));
    this.#body.addEventListener("click", (event) => this.#onClick(event));
  }

  /** Show these items in this order; `context` goes to every cell, `sort` and `order` to the headers. */
  show(items, { context = {}, sort = "", order = "", current = null } = {}) {
    this.#items = items;
    this.#context = { ...context, sort };
    this.#current = current;
    setAttribute(this.#table, "aria-rowcount", items.length + 1);
    for (const [id, header] of this.#headers) {
      const sorted = id === sort && (order === "asc" ? "ascending" : "descending");
      setAttribute(header, "aria-sort", sorted);
    }
    this.#draw();
  }

  /** Draw the rows in sight again, for what they show has changed. */
  redraw() {
    this.#drawSoon();
  }

  /** Move the focus to a row, and the row into sight. */
  focus(index) {
    const at = Math.max(0, Math.min(index, this.#items.length - 1));
    if (this.#items.length === 0) return;
    this.#reveal(at);
    this.#draw();
    this.#rows.get(this.#keyOf(this.#items[at]))?.row.querySelector("a")?.focus({ preventScroll: true });
  }

  #makeHeader(column) {
    const content = column.sortable
      ? make("button", { type: "button", class: "sorter", title: column.hint }, column.title)
      : make("span", { title: column.hint }, column.title);
    content.addEventListener("click", () => column.sortable && this.#onSort?.(column));
    const header = make("th", { role: "columnheader", scope: "col", class: classOf(column) }, content);
    this.#headers.set(column.id, header);
    return header;
  }

  #drawSoon() {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#table.offsetParent === null) return; // hidden: drawn by the observer when it is shown
    this.#rowHeight = this.#body.firstElementChild?.getBoundingClientRect().height || GUESSED_ROW_HEIGHT;
    const [first, end] = this.#range();
    this.#body.style.paddingTop = `${first * this.#rowHeight}px`;
    this.#body.style.paddingBottom = `${(this.#items.length - end) * this.#rowHeight}px`;
    this.#place(first, end);
    this.#onDrawn?.(this.#items.slice(first, end));
  }

  /** The rows in sight and somewhat more: from the first index up to, not including, the second. */
  #range() {
    const top = this.#body.getBoundingClientRect().top;
    const first = Math.floor(-top / this.#rowHeight) - ROWS_BEYOND;
    const end = Math.ceil((innerHeight - top) / this.#rowHeight) + ROWS_BEYOND;
    const length = this.#items.length;
    return [Math.max(0, Math.min(first, length)), Math.max(0, Math.min(end, length))];
  }

  #place(first, end) {
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    const wanted = new Set();
    for (let index = first; index < end; index++) wanted.add(this.#keyOf(this.#items[index]));
    const spare = this.#release(wanted);
    for (let index = first; index < end; index++) {
      const item = this.#items[index];
      const line = this.#lineFor(this.#keyOf(item), spare);
      const place = this.#body.children[index - first] ?? null;
      if (place !== line.row) this.#body.insertBefore(line.row, place);
      this.#fill(line, item, index);
    }
    for (const line of spare) line.row.remove();
    // Moving an element takes the focus from it.
    if (focused !== null && focused !== document.activeElement && focused.isConnected) {
      focused.focus({ preventScroll: true });
    }
  }

  /** Give up the lines whose keys are not wanted, and return them for other keys. */
  #release(wanted) {
    const spare = [];
    for (const [key, line] of this.#rows) {
      if (wanted.has(key)) continue;
      this.#rows.delete(key);
      // Focus never jumps to another row: it leaves the table with its own.
      if (line.row.contains(document.activeElement)) line.row.remove();
      else spare.push(line);
    }
    return spare;
  }

  #lineFor(key, spare) {
    let line = this.#rows.get(key);
    if (line === undefined) {
      line = spare.pop() ?? this.#makeLine();
      this.#rows.set(key, line);
    }
    return line;
  }

  #makeLine() {
    const cells = this.#columns.map((column) => column.make());
    const row = make("tr", { role: "row" });
    this.#columns.forEach((column, index) => {
      const isLink = index === 0 && this.#hrefOf !== null;
      const content = isLink ? make("a", { class: "row-link" }, cells[index]) : cells[index];
      const role = index === 0 ? "rowheader" : "cell";
      row.append(make("td", { role, class: classOf(column), "data-title": column.title }, content));
    });
    return { row, cells };
  }

  #fill({ row, cells }, item, index) {
    const key = this.#keyOf(item);
    setAttribute(row, "aria-rowindex", index + 2);
    setAttribute(row, "aria-current", key === this.#current && "true");
    if (this.#hrefOf !== null) setAttribute(row.firstChild.firstChild, "href", this.#hrefOf(item));
    this.#columns.forEach((column, at) => {
      column.show(cells[at], item, this.#context);
      row.children[at].classList.toggle("sorted", column.id === this.#context.sort);
    });
  }

  #onKey(event) {
    const row = event.target.closest("tbody tr");
    if (row === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = Number(row.getAttribute("aria-rowindex")) - 2;
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight) - 4);
    const target = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      j: index + 1,
      k: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: this.#items.length - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.focus(target);
  }

  /** The whole row leads where its link does; marking text does not. */
  #onClick(event) {
    if (event.target.closest("a, button") !== null || getSelection()?.isCollapsed === false) return;
    event.target.closest("tr")?.querySelector("a.row-link")?.click();
  }

  #reveal(index) {
    const top = this.#body.getBoundingClientRect().top + index * this.#rowHeight;
    const headroom = this.#table.tHead.getBoundingClientRect().bottom;
    const upper = Math.max(headroom, 0);
    if (top < upper) scrollBy(0, top - upper);
    else if (top + this.#rowHeight > innerHeight) scrollBy(0, top + this.#rowHeight - innerHeight + 8);
  }
}

function classOf(column) {
  return `col col-${column.id} ${column.kind ?? "number"}`;
}
