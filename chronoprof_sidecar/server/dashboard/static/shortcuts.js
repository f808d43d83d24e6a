// The keyboard beyond what elements bring: `/` searches, `p` pauses, Escape goes back, ArrowDown enters the table.

import { byId } from "./dom.js";

/** Take what the keys do: `{pause, focusTable, back, clearSearch}`. */
export function listenToKeys({ pause, focusTable, back, clearSearch }) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) return;
    if (event.target === byId("search")) {
      onSearchKey(event, { focusTable, clearSearch });
    } else if (event.key === "Escape") {
      back();
    } else if (!event.target.closest("input, select, textarea")) {
      onPageKey(event, { pause, focusTable });
    }
  });
}

function onSearchKey(event, { focusTable, clearSearch }) {
  if (event.key === "Escape") {
    byId("search").value = "";
    clearSearch();
    byId("search").blur();
  } else if (event.key === "ArrowDown" || event.key === "Enter") {
    event.preventDefault();
    focusTable();
  }
}

function onPageKey(event, { pause, focusTable }) {
  const search = byId("search");
  if (event.key === "/" && search.offsetParent !== null) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "p") {
    pause();
  } else if (event.key === "ArrowDown" && [document.body, byId("main")].includes(document.activeElement)) {
    event.preventDefault();
    focusTable();
  }
}
