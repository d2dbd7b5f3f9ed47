"use strict";
// Tables sort by their heads; the table of all cells is drawn a page at a time from its data, whatever their number.

const compare = (a, b) => {
  const both = typeof a === "number" && typeof b === "number";
  return both ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
};

// -Infinity stands for what is missing: it stays at the end, whichever way a column is sorted.
const ordered = (rows, value, descending) => {
  const missing = (row) => value(row) === -Infinity || value(row) === "";
  const sign = descending ? -1 : 1;
  return rows
    .map((row, place) => ({ row, place, value: value(row), missing: missing(row) }))
    .sort((a, b) => a.missing - b.missing || (a.missing ? 0 : sign * compare(a.value, b.value)) || a.place - b.place)
    .map((entry) => entry.row);
};

const turn = (head, heads) => {
  const numeric = head.classList.contains("n");
  const now = head.getAttribute("aria-sort");
  const first = numeric ? "descending" : "ascending";
  const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
  heads.forEach((other) => other.setAttribute("aria-sort", other === head ? next : "none"));
  return next === "descending";
};

const valueOf = (row, column) => {
  const text = row.cells[column].dataset.v;
  if (text === "-inf") return -Infinity;
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
};

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.querySelector("button").addEventListener("click", () => {
      const descending = turn(head, heads);
      const body = table.tBodies[0];
      body.append(...ordered([...body.rows], (row) => valueOf(row, column), descending));
    });
  });
}

for (const input of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

const PAGE = 100;
const data = JSON.parse(document.getElementById("cell-data").textContent);
const table = document.getElementById("cell-table");
const state = { rows: data.rows, sorted: data.rows, page: 0, text: "", chosen: {} };
const node = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const shown = (value, column) => {
  if (value === null || value === "") return "";
  return data.columns[column].digits === undefined ? String(value) : value.toFixed(data.columns[column].digits);
};

const drawPage = () => {
  const pages = Math.max(1, Math.ceil(state.sorted.length / PAGE));
  state.page = Math.min(Math.max(0, state.page), pages - 1);
  const rows = state.sorted.slice(state.page * PAGE, (state.page + 1) * PAGE);
  const body = node("tbody");
  for (const row of rows) {
    const line = node("tr");
    row.forEach((value, column) => {
      const cell = node(column === 0 ? "th" : "td", { textContent: shown(value, column) });
      if (column === 0) cell.scope = "row";
      if (data.columns[column].numeric) cell.className = "n";
      if (value === "failed") cell.className = "fault";
      line.append(cell);
    });
    body.append(line);
  }
  if (table.tBodies.length) table.tBodies[0].replaceWith(body); else table.append(body);
  const count = state.sorted.length;
  const from = count ? state.page * PAGE + 1 : 0;
  document.getElementById("cell-count").textContent =
    `${count} of ${data.rows.length} cells` + (count ? `; ${from} to ${from + rows.length - 1} are shown` : "");
  back.disabled = state.page === 0;
  forth.disabled = state.page === pages - 1;
  place.textContent = `page ${state.page + 1} of ${pages}`;
};

const filter = () => {
  const wanted = state.text.trim().toLowerCase();
  state.sorted = state.rows.filter((row) =>
    Object.entries(state.chosen).every(([column, value]) => value === "" || String(row[column]) === value) &&
    (wanted === "" || row.some((value) => value !== null && String(value).toLowerCase().includes(wanted))));
  state.page = 0;
  drawPage();
};

const head = node("tr");
const heads = data.columns.map((column, index) => {
  const button = node("button", { type: "button", textContent: column.title });
  const made = node("th", { scope: "col" }, button);
  if (column.numeric) made.className = "n";
  made.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => {
    const descending = turn(made, heads);
    state.rows = ordered(data.rows, (row) => row[index] ?? -Infinity, descending);
    filter();
  });
  head.append(made);
  return made;
});
table.append(node("thead", {}, head));

const form = document.getElementById("cell-filters");
form.addEventListener("submit", (event) => event.preventDefault());
const search = node("input", { type: "search", placeholder: "any text" });
search.addEventListener("input", () => { state.text = search.value; filter(); });
form.append(node("label", {}, "Text", search));
data.columns.forEach((column, index) => {
  if (!column.choose) return;
  const values = [...new Set(data.rows.map((row) => String(row[index])))].sort(compare);
  const select = node("select", {}, node("option", { value: "", textContent: "all" }));
  for (const value of values) select.append(node("option", { value, textContent: value }));
  select.addEventListener("change", () => { state.chosen[index] = select.value; filter(); });
  form.append(node("label", {}, column.title, select));
});
const back = node("button", { type: "button", textContent: "Back" });
const forth = node("button", { type: "button", textContent: "Next" });
const place = node("span");
back.addEventListener("click", () => { state.page -= 1; drawPage(); });
forth.addEventListener("click", () => { state.page += 1; drawPage(); });
document.getElementById("cell-pages").append(back, place, forth);
filter();
