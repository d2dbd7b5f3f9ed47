// The board: asks this server for what stands in the store, and draws it; again and again while a launch runs.

import { COLOURS, drawLosses, drawParallel, drawProgress, finishedCells, judgedOnAll, svg } from "./charts.js";

const STATES = ["FINISHED", "FAILED", "KILLED", "RUNNING", "MISSING"];
const WORDS = ["finished", "failed", "cut off", "in training", "never begun"];
const PAGE = 60;
const LEAST_PAUSE = 2000;
// Milliseconds between two looks at a running sweep; more where an answer takes long, so that looking stays cheap.

const at = (id) => document.getElementById(id);
const node = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const state = { sweep: "", other: "", place: "", pages: { grid: 0, candidates: 0 }, ranges: {}, kept: null, view: null, links: {}, look: 0 };

const ask = async (path, query = {}) => {
  const response = await fetch(`api/${path}?${new URLSearchParams(query)}`);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
};

const fault = (text) => {
  at("fault").hidden = !text;
  at("fault").textContent = text;
};

const readable = (seconds) =>
  seconds < 90 ? `${seconds.toFixed(0)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;

const fill = (select, options, chosen) => {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.replaceChildren(...options.map(([value, text]) => node("option", { value, textContent: text })));
    select.dataset.options = wanted;
  }
  select.value = chosen;
};

const cards = (view) => {
  const status = view.status;
  const total = status.cells ?? status.finished + status.failed + status.killed + status.missing;
  const shown = [["cells finished", `${status.finished} of ${total}`]];
  if (status.failed) shown.push(["failed", status.failed, true]);
  shown.push(["launch", status.launch.toLowerCase()]);
  if (status.best_value !== null) shown.push(["best candidate, validation accuracy", `${status.best} ${status.best_value.toFixed(1)}`]);
  if (status.running.length) shown.push(["in training", status.running.join(", ")]);
  if (status.seconds_left !== null) shown.push(["time left", `about ${readable(status.seconds_left)}`]);
  if (status.pruned.length) shown.push(["given up by the race", status.pruned.length]);
  for (const [place, noted] of Object.entries(status.notes)) shown.push([`note on ${place}`, noted]);
  if (status.stopped.length) shown.push(["stopped by users", status.stopped.join(", ")]);
  at("cards").replaceChildren(...shown.map(([head, text, bad]) =>
    node("div", { className: bad ? "fault" : "" }, node("dt", { textContent: head }), node("dd", { textContent: text }))));
};

const links = (view) => {
  const { mlflow, optuna, commands } = state.links;
  const parts = [];
  const link = (href, text) => node("a", { href, textContent: text, rel: "noreferrer" });
  if (mlflow) parts.push(link(`${mlflow}${view.trials_page}`, "this sweep in MLflow"), " · ");
  if (optuna) parts.push(link(`${optuna}/dashboard`, "its study in optuna-dashboard"), " · ");
  for (const command of commands ?? []) parts.push(node("code", { textContent: command }), " · ");
  at("links").replaceChildren(...parts.slice(0, -1));
};

const bar = (counts) => {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const drawn = svg("svg", { class: "counts", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  let x = 0;
  counts.forEach((count, n) => {
    const width = total ? (100 * count) / total : 0;
    if (width) drawn.append(svg("rect", { class: STATES[n], x, y: 0, width, height: 10 }));
    x += width;
  });
  drawn.append(svg("rect", { class: "frame", x: 0, y: 0, width: 100, height: 10 }));
  return drawn;
};

const entry = (counts) => {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return node("td");
  const said = counts.map((count, n) => (count ? `${count} ${WORDS[n]}` : "")).filter(Boolean).join(", ");
  return node("td", { title: said, className: counts[1] ? "failed" : "" }, bar(counts), `${counts[0]}/${total}`);
};

const paged = (name, rows, draw) => {
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = (state.pages[name] = Math.min(state.pages[name], pages - 1));
  const table = at(name);
  const body = node("tbody", {}, ...rows.slice(page * PAGE, (page + 1) * PAGE).map(draw));
  if (table.tBodies.length) table.tBodies[0].replaceWith(body); else table.append(body);
  const turn = (text, by) => {
    const button = node("button", { type: "button", textContent: text, disabled: page + by < 0 || page + by >= pages });
    button.addEventListener("click", () => { state.pages[name] += by; paged(name, rows, draw); });
    return button;
  };
  at(`${name}-pages`).replaceChildren(...(pages > 1 ? [turn("Back", -1), turn("Next", 1), node("span", { textContent: `page ${page + 1} of ${pages}, ${rows.length} rows` })] : []));
};

// Entries of `titles` are what stands there, or that and what it is short for.
const heads = (table, titles, numeric = () => false) => {
  const row = node("tr", {}, ...titles.map((given, n) => {
    const [textContent, title] = [given].flat();
    return node("th", { scope: "col", textContent, title: title ?? "", className: numeric(n) ? "n" : "" });
  }));
  if (table.tHead) table.tHead.replaceChildren(row); else table.prepend(node("thead", {}, row));
};

const fate = (trial) => (trial.stopped ? " stopped" : trial.pruned ? " given up" : "");

const grid = (view) => {
  at("legend").replaceChildren(...STATES.map((name, n) => node("span", { className: "item" }, node("span", { className: `key ${name}` }), WORDS[n])));
  heads(at("grid"), ["trial", ...view.datasets]);
  paged("grid", view.trials, (trial) => {
    const marks = `${trial.running ? " ▸" : ""}${fate(trial)}${trial.selected ? " ★" : ""}`;
    const head = node("th", { scope: "row", textContent: trial.title + marks, title: trial.title, className: trial.selected ? "best" : "" });
    return node("tr", {}, head, ...trial.counts.map(entry));
  });
};

// A key's last word, or the key where two end in the same.
const shortKey = (key, n, keys) => {
  const last = (one) => one.split(".").at(-1);
  return [keys.filter((one) => last(one) === last(key)).length > 1 ? key : last(key), key];
};

const shownValue = (value) => (value === undefined ? "" : typeof value === "number" ? Number(value.toPrecision(4)).toString() : value);

// With its standard error, as in tables.
const accuracy = (one) => (one.value === null ? "–" : one.value.toFixed(1) + (one.standard_error === null ? "" : ` ± ${one.standard_error.toFixed(1)}`));

const search = (view) => {
  const candidates = view.trials.filter((trial) => trial.kind === "search");
  at("search").hidden = !candidates.length;
  if (!candidates.length) return;
  at("basis").textContent = view.basis === null ? "" : `The best candidate's accuracy is the ${view.basis}: a maximum, and so likely too high.`;
  drawProgress(at("progress"), candidates);
  const judged = new Set(judgedOnAll(candidates));
  const ranked = [...candidates].sort((a, b) => judged.has(b) - judged.has(a) || (b.value ?? -Infinity) - (a.value ?? -Infinity));
  const numeric = view.keys.map((key) => candidates.every((one) => typeof (one.settings[key] ?? 0) === "number"));
  heads(at("candidates"), ["candidate", "val/accuracy", "cells", ...view.keys.map(shortKey)], (n) => n > 0 && (numeric[n - 3] ?? true));
  const table = () => paged("candidates", ranked.filter((one) => state.kept === null || state.kept.has(one.name)), (one) => {
    const done = finishedCells(one);
    const all = one.counts.flat().reduce((sum, count) => sum + count, 0);
    const head = node("th", { scope: "row", textContent: one.name + fate(one) + (one.selected ? " ★" : "") });
    const value = node("td", { className: one.selected ? "n best" : "n", textContent: accuracy(one) });
    return node("tr", {}, head, value, node("td", { className: "n", textContent: `${done}/${all}` }),
      ...view.keys.map((key, n) => node("td", { className: numeric[n] ? "n" : "", textContent: shownValue(one.settings[key]) })));
  });
  const varying = view.keys.filter((key) => new Set(candidates.map((one) => one.settings[key])).size > 1);
  at("parallel").closest("figure").hidden = judged.size < 2;
  drawParallel(at("parallel"), candidates, varying, view.log_keys, state.ranges, (kept) => {
    state.kept = Object.keys(state.ranges).length ? kept : null;
    at("kept").textContent = state.kept === null ? "" : `${kept.size} of ${judged.size} candidates lie within the ranges`;
    table();
  });
  table();
};

const losses = async (view) => {
  const places = view.places.map((place) => [JSON.stringify([place.dataset, place.shots]), `${place.title}, ${place.shots} shots`]);
  if (!places.some(([value]) => value === state.place)) state.place = places.length ? places[0][0] : "";
  fill(at("place"), places, state.place);
  if (!state.place) {
    at("losses").replaceChildren();
    at("losses-note").textContent = "no cell has finished training yet";
    return;
  }
  const [dataset, shots] = JSON.parse(state.place);
  const { lines } = await ask("losses", { name: view.name, dataset, shots });
  if (view !== state.view) return;
  drawLosses(at("losses"), lines);
  const names = [...new Map(lines.map((line) => [line.trial, line.title]))];
  const note = names.slice(0, COLOURS.length).map(([, title], n) => {
    const key = svg("svg", { width: 14, height: 10, "aria-hidden": "true" }, svg("rect", { width: 12, height: 8, fill: COLOURS[n] }));
    return node("span", { className: "item" }, key, title);
  });
  const rest = names.length > COLOURS.length ? `and ${names.length - COLOURS.length} more, whose colours repeat; point at a line for its name` : "";
  at("losses-note").replaceChildren(...(lines.length ? [...note, rest] : ["no cell of this place has recorded its losses"]));
};

const beside = async () => {
  at("beside").hidden = !state.other;
  if (!state.other) return;
  const found = await ask("beside", { name: state.sweep, other: state.other });
  heads(at("differing"), ["what differs", state.sweep, state.other]);
  const body = node("tbody", {}, ...found.differing.map(([key, ...values]) =>
    node("tr", {}, node("th", { scope: "row", textContent: key }), ...values.map((value) => node("td", { textContent: value })))));
  if (at("differing").tBodies.length) at("differing").tBodies[0].replaceWith(body); else at("differing").append(body);
  at("equal").textContent = `${found.equal} more are equal. Settings are those that all of a sweep's trials share.`;
  at("averages").replaceChildren(...found.averages.map((one, n) => {
    const rows = one.rows.map(([method, average]) => node("tr", {}, node("th", { scope: "row", textContent: method }), node("td", { className: "n", textContent: average })));
    const table = node("table", {}, node("tbody", {}, ...rows));
    const name = [state.sweep, state.other][n];
    return node("div", {}, node("h3", { textContent: one.title ? `${name}: average of ${one.title}` : name }), one.absent ? node("p", { className: "note", textContent: one.absent }) : table);
  }));
};

const remember = () => {
  const query = new URLSearchParams({ sweep: state.sweep, ...(state.other ? { beside: state.other } : {}) });
  history.replaceState(null, "", `?${query}`);
  document.title = `${state.sweep} · dualpt board`;
};

const listed = async () => {
  const found = await ask("sweeps");
  at("store").textContent = found.store;
  state.links = found.links;
  const names = found.sweeps.map((one) => one.name);
  if (!names.includes(state.sweep)) state.sweep = names[0] ?? "";
  if (!names.includes(state.other) || state.other === state.sweep) state.other = "";
  fill(at("sweep"), found.sweeps.map((one) => [one.name, `${one.name} (${one.launch.toLowerCase()})`]), state.sweep);
  fill(at("other"), [["", "none"], ...names.filter((name) => name !== state.sweep).map((name) => [name, name])], state.other);
};

const look = async () => {
  const number = ++state.look;
  const begun = performance.now();
  let pause = 5 * LEAST_PAUSE;
  try {
    await listed();
    if (!state.sweep) throw new Error("no sweep is on record in this store yet");
    remember();
    const view = await ask("sweep", { name: state.sweep });
    if (number !== state.look) return;
    state.view = view;
    at("name").textContent = view.name;
    at("description").textContent = view.description;
    cards(view);
    links(view);
    grid(view);
    search(view);
    document.body.dataset.drawn = view.name;
    await losses(view);
    await beside();
    fault("");
    if (view.status.launch === "RUNNING") pause = Math.max(LEAST_PAUSE, 5 * (performance.now() - begun));
  } catch (error) {
    fault(error instanceof TypeError ? "the board doesn't answer; start it again with `dualpt board`" : error.message);
  }
  if (number === state.look) setTimeout(() => { if (number === state.look) look(); }, pause);
};

const query = new URLSearchParams(location.search);
state.sweep = query.get("sweep") ?? "";
state.other = query.get("beside") ?? "";
at("sweep").addEventListener("change", () => { Object.assign(state, { sweep: at("sweep").value, ranges: {}, kept: null, pages: { grid: 0, candidates: 0 } }); look(); });
at("other").addEventListener("change", () => { state.other = at("other").value; look(); });
at("place").addEventListener("change", () => { state.place = at("place").value; losses(state.view); });
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
look();
