// Tables that a press on a heading sorts. Headings hold buttons, so that a keyboard does it too.

/** What a cell is sorted by: its value, its words, or nothing. */
function sortKey(tableRow, column) {
  const cell = tableRow.cells[column];
  if (!cell || cell.classList.contains("none")) return null;
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
}

/** Compare two keys; nothing comes last, in either direction. */
function compareKeys(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  return direction * String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortTable(table, heading) {
  const ascending = heading.ariaSort !== "ascending";
  for (const other of heading.parentElement.cells) other.ariaSort = "none";
  heading.ariaSort = ascending ? "ascending" : "descending";
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((tableRow) => [sortKey(tableRow, heading.cellIndex), tableRow]);
  keyed.sort(([a], [b]) => compareKeys(a, b, ascending ? 1 : -1));
  body.append(...keyed.map(([, tableRow]) => tableRow));
}

function makeSortable() {
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sortTable(button.closest("table"), button.closest("th")));
  }
}
