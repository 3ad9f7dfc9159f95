"""Style and script of the page: plain CSS, and tables that sort."""

STYLE = """\
:root { --ink: #222222; --muted: #767676; --line: #e4e4e4; --front: #0072B2; }
body { margin: 0; color: var(--ink); background: #ffffff;
  font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 28px 80px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 48px 0 10px; }
.lead { color: var(--muted); margin: 0 0 8px; }
figure { margin: 10px 0 24px; }
figcaption, .caption { font-size: 13px; line-height: 1.45; max-width: 860px; }
figcaption { margin-top: 4px; }
.caption { margin: 22px 0 6px; }
.absent { color: var(--muted); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; min-width: 60%;
  border-top: 1.5px solid var(--ink); border-bottom: 1.5px solid var(--ink); }
thead tr { border-bottom: 0.8px solid var(--ink); }
th, td { padding: 4px 9px; text-align: right; white-space: nowrap; }
th { font-weight: 600; cursor: pointer; user-select: none; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
td.wide { white-space: normal; min-width: 180px; }
#configurations th:last-child, #configurations td:last-child { text-align: left; padding-left: 18px; }
th[aria-sort="ascending"]::after { content: " ▴"; color: var(--front); }
th[aria-sort="descending"]::after { content: " ▾"; color: var(--front); }
tbody tr:hover { background: #f5f8fb; }
tr.front td { font-weight: 600; }
tr.front td:first-child { color: var(--front); }
tr.baseline td { color: var(--muted); }
@media print { main { max-width: none; padding: 0; } .modebar { display: none; } figure { break-inside: avoid; } }
"""

SCRIPT = """\
// Tables sort by the column that is clicked: numbers by their size, the rest by its letters; dashes come last.
function sortKey(cell) {
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const number = parseFloat(text.replace("−", "-"));
  return Number.isNaN(number) ? text : number;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b));
}
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  for (const row of body.rows) {
    for (const cell of [...row.cells].slice(1)) if (cell.textContent.length > 40) cell.classList.add("wide");
  }
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...body.rows].map((row) => [sortKey(row.cells[column]), row]);
    const known = keyed.filter(([key]) => key !== null).sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
    body.append(...[...known, ...keyed.filter(([key]) => key === null)].map(([, row]) => row));
  }));
}
"""
