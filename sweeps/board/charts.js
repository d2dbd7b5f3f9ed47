// Charts as SVG: losses, the search's progress, parallel coordinates. Names only ever become text content.

const SVG = "http://www.w3.org/2000/svg";
export const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a6d3b", "#999999"];

export const svg = (name, properties = {}, ...children) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const label = (x, y, text, more = {}) => {
  const made = svg("text", { x, y, ...more });
  made.textContent = text;
  return made;
};

const titled = (element, text) => {
  const title = svg("title");
  title.textContent = text;
  element.append(title);
  return element;
};

const short = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toString() : value);

const frame = (width, height, alternative) =>
  svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": alternative });

const extent = (values) => {
  const low = Math.min(...values), high = Math.max(...values);
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
};

// The step of 1, 2 or 5 times a power of ten that cuts a span into five parts or fewer.
const roundStep = (span) => {
  const power = 10 ** Math.floor(Math.log10(span / 5));
  return power * [1, 2, 5, 10].find((n) => n * power * 5 >= span);
};

// Drawn as wide as its place is, so that its words have the page's size at any width.
const plot = (place, alternative, xs, ys, xName, yName) => {
  const width = Math.max(240, place.clientWidth);
  const [height, left, right, top, bottom] = [250, 48, 12, 24, 34];
  const [x0, x1] = extent(xs), [low, high] = extent(ys);
  const yStep = roundStep(high - low), xStep = Math.max(1, roundStep(x1 - x0));
  const y0 = Math.floor(low / yStep) * yStep, y1 = Math.ceil(high / yStep) * yStep;
  const x = (value) => left + ((value - x0) / (x1 - x0)) * (width - left - right);
  const y = (value) => height - bottom - ((value - y0) / (y1 - y0)) * (height - top - bottom);
  const chart = frame(width, height, alternative);
  for (let step = 0; step <= Math.round((y1 - y0) / yStep); step++) {
    const value = y0 + step * yStep;
    chart.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    chart.append(label(left - 6, y(value) + 4, short(value), { "text-anchor": "end" }));
  }
  const between = [];
  for (let value = Math.ceil(x0 / xStep) * xStep; value < x1; value += xStep) {
    if (Math.min(value - x0, x1 - value) >= xStep / 2) between.push(value);
  }
  for (const value of [...new Set([Math.min(...xs), ...between, Math.max(...xs)])]) {
    chart.append(label(x(value), height - bottom + 14, short(value), { "text-anchor": "middle" }));
  }
  chart.append(label((left + width) / 2, height - 4, xName, { "text-anchor": "middle" }), label(2, 12, yName));
  return { chart, x, y };
};

export const drawLosses = (place, lines) => {
  place.replaceChildren();
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return;
  const { chart, x, y } = plot(place, "Training loss over epochs", points.map((p) => p[0]), points.map((p) => p[1]), "epoch", "loss");
  const names = [...new Set(lines.map((line) => line.trial))];
  for (const line of lines) {
    const d = line.points.map((p, n) => `${n ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("");
    const path = svg("path", { d, stroke: COLOURS[names.indexOf(line.trial) % COLOURS.length] });
    chart.append(titled(path, `${line.title}, seed ${line.seed}: ${short(line.points.at(-1)[1])}`));
  }
  place.append(chart);
};

export const finishedCells = (one) => one.counts.reduce((sum, counts) => sum + counts[0], 0);

// Those that can be compared: the mean of one that has begun is over other cells, perhaps the easy ones alone.
export const judgedOnAll = (candidates) => {
  const most = Math.max(...candidates.map(finishedCells));
  return candidates.filter((one) => one.value !== null && !one.running && finishedCells(one) === most);
};

export const drawProgress = (place, candidates) => {
  place.replaceChildren();
  const judged = judgedOnAll(candidates).sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  if (!judged.length) return;
  const { chart, x, y } = plot(place, "Validation accuracy of the candidates in their order, and the best so far",
    [1, judged.length], judged.map((one) => one.value), "candidate", "validation accuracy (%)");
  let best = -Infinity, d = "";
  judged.forEach((one, n) => {
    best = Math.max(best, one.value);
    d += d ? `H${x(n + 1).toFixed(1)}V${y(best).toFixed(1)}` : `M${x(1).toFixed(1)},${y(best).toFixed(1)}`;
    chart.append(titled(svg("circle", { class: "dot", cx: x(n + 1), cy: y(one.value), r: 3 }), `${one.name}: ${one.value.toFixed(1)}`));
  });
  chart.append(svg("path", { class: "step", d }));
  place.append(chart);
};

// One axis per searched key and one for the accuracy. A key that is no number everywhere has its words as places.
// Ticks are values that some candidate has: the ends, and the one nearest to the middle.
const axisOf = (key, values, searchedSo) => {
  const known = values.filter((value) => value !== undefined && value !== null);
  if (known.every((value) => typeof value === "number")) {
    const low = Math.min(...known), high = Math.max(...known);
    const logarithmic = low > 0 && (searchedSo || high / low >= 20);
    const scale = logarithmic ? Math.log10 : (value) => value;
    const span = scale(high) - scale(low) || 1;
    const off = (value) => Math.abs(scale(value) - (scale(low) + scale(high)) / 2);
    const ticks = [...new Set([low, known.reduce((a, b) => (off(b) < off(a) ? b : a)), high])];
    return { key, logarithmic, at: (value) => (low === high ? 0.5 : (scale(value) - scale(low)) / span), ticks };
  }
  const words = [...new Set(known.map(String))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const at = (value) => (words.length === 1 ? 0.5 : words.indexOf(String(value)) / (words.length - 1));
  return { key, logarithmic: false, at, ticks: words };
};

// A key's last word, or the whole key where two axes end in the same.
const lastWords = (key, axes) => {
  const last = (one) => one.split(".").at(-1);
  return axes.filter((axis) => last(axis.key) === last(key)).length > 1 ? key : last(key);
};

export const drawParallel = (place, candidates, keys, logKeys, ranges, changed) => {
  place.replaceChildren();
  const judged = judgedOnAll(candidates);
  if (judged.length < 2) return;
  const value = (one, key) => (key === "val/accuracy" ? one.value : one.settings[key]);
  const axes = [...keys, "val/accuracy"].map((key) => axisOf(key, judged.map((one) => value(one, key)), logKeys.includes(key)));
  const [height, top, bottom, left] = [340, 44, 40, 70];
  const step = Math.max(130, (place.parentElement.clientWidth - 2 * left - 2) / (axes.length - 1));
  const width = 2 * left + step * (axes.length - 1);
  const length = height - top - bottom;
  const chart = frame(width, height, "Parallel coordinates of the candidates");
  chart.setAttribute("width", width);
  const x = (index) => left + index * step;
  const y = (share) => (share === undefined ? height - 14 : height - bottom - share * length);
  const share = (axis, one) => {
    const found = value(one, axis.key);
    return found === undefined || found === null ? undefined : axis.at(found);
  };
  const inside = (one) => axes.every((axis) => {
    const range = ranges[axis.key], at = share(axis, one);
    return range === undefined || (at !== undefined && at >= range[0] && at <= range[1]);
  });
  const best = judged.reduce((a, b) => (b.value > a.value ? b : a));
  const scale = axes.at(-1);
  const paths = new Map();
  for (const one of [...judged].sort((a, b) => a.value - b.value)) {
    const d = axes.map((axis, n) => `${n ? "L" : "M"}${x(n)},${y(share(axis, one)).toFixed(1)}`).join("");
    const strength = (0.15 + 0.85 * scale.at(one.value) ** 2).toFixed(2);
    const path = svg("path", { d, "stroke-opacity": strength, class: one === best ? "line best" : "line" });
    paths.set(one, titled(path, `${one.name}: ${one.value.toFixed(1)}`));
    chart.append(path);
  }
  const mark = () => {
    for (const [one, path] of paths) path.classList.toggle("off", !inside(one));
    changed(new Set(judged.filter(inside).map((one) => one.name)));
  };
  axes.forEach((axis, n) => {
    chart.append(svg("line", { class: "axis", x1: x(n), x2: x(n), y1: top, y2: height - bottom }));
    const name = label(x(n), n % 2 ? 14 : 28, lastWords(axis.key, axes) + (axis.logarithmic ? " (log)" : ""), { class: "name", "text-anchor": "middle" });
    titled(name, axis.key);
    for (const tick of axis.ticks) chart.append(label(x(n) + 5, y(axis.at(tick)) + 4, short(tick)));
    if (judged.some((one) => share(axis, one) === undefined)) chart.append(label(x(n) + 5, height - 10, "not used"));
    const brush = svg("rect", { class: "brush", x: x(n) - 9, width: 18, y: 0, height: 0 });
    const show = () => {
      const range = ranges[axis.key];
      brush.setAttribute("y", range ? y(range[1]) : 0);
      brush.setAttribute("height", range ? y(range[0]) - y(range[1]) : 0);
    };
    const strip = svg("rect", { class: "strip", x: x(n) - 12, width: 24, y: top - 4, height: length + 8, "data-key": axis.key });
    const at = (event) => {
      const box = chart.getBoundingClientRect();
      const inSvg = ((event.clientY - box.top) / box.height) * height;
      return Math.min(1, Math.max(0, (height - bottom - inSvg) / length));
    };
    let from = null;
    strip.addEventListener("pointerdown", (event) => { from = at(event); strip.setPointerCapture(event.pointerId); });
    strip.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const to = at(event);
      ranges[axis.key] = [Math.min(from, to) - 0.005, Math.max(from, to) + 0.005];
      show();
      mark();
    });
    strip.addEventListener("pointerup", () => { from = null; });
    name.addEventListener("click", () => { delete ranges[axis.key]; show(); mark(); });
    chart.append(brush, strip, name);
    show();
  });
  place.append(chart);
  mark();
};
