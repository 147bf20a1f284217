// Line charts with uPlot, one in each panel of a view. What they draw is in the page as JSON.

/* global uPlot */

const DASHES = [[], [7, 4], [2, 3]];
const FONT = "system-ui, sans-serif";
const PERCENTILES = [[0, "0 %"], [0.30103, "50 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"], [4, "99.99 %"], [5, "99.999 %"]];

/** What the style sheet says of a custom property, now. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A number with about three digits. */
function short(value) {
  if (value === 0 || Math.abs(value) >= 99.95) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** The words for a place on the x axis. */
function place(chart, x) {
  if (chart.kind === "ordinal") return chart.ticks[Math.round(x)] ?? "";
  if (chart.kind === "time") return `${short(x)} s`;
  const percent = 100 * (1 - 10 ** -x);
  return `${Number(percent.toFixed(Math.ceil(x)))} % of the values`;
}

/** The range that all panels of a view share. */
function ranges(chart, panels) {
  const xs = panels.flatMap((panel) => panel.lines.flatMap((line) => line.x));
  const ys = panels.flatMap((panel) => panel.lines.flatMap((line) => line.y)).filter((y) => !chart.log || y > 0);
  const x = [xs.reduce((a, b) => Math.min(a, b), Infinity), xs.reduce((a, b) => Math.max(a, b), -Infinity)];
  let low = ys.reduce((a, b) => Math.min(a, b), Infinity);
  let high = ys.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(low)) [low, high] = [chart.log ? 0.1 : 0, 1];
  if (chart.kind === "ordinal") [x[0], x[1]] = [-0.25, chart.ticks.length - 0.75];
  if (x[0] === x[1]) x[1] += 1;
  if (chart.kind === "time") x[0] = Math.min(0, x[0]);
  if (chart.log) return { x, y: [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.0001))] };
  if (chart.from_zero) return { x, y: [0, Math.max(high * 1.08, 1e-3)] };
  const room = Math.max((high - low) * 0.08, 0.5);
  return { x, y: [Math.max(0, low - room), high + room] };
}

/** One panel, drawn into `element`. */
class Plot {
  #chart; #panel; #range; #element; #plot = null;

  constructor(element, chart, panel, range) {
    [this.#element, this.#chart, this.#panel, this.#range] = [element, chart, panel, range];
  }

  /** Draw it, `enlarged` times as large as its place. */
  draw(enlarged = 1) {
    this.#plot?.destroy();
    const width = this.#element.clientWidth * enlarged;
    const height = this.#element.clientHeight * enlarged;
    if (!width || !height) return;
    const tables = this.#panel.lines.map((line) => [line.x, line.y.map((y) => (this.#chart.log && y <= 0 ? this.#range.y[0] : y))]);
    this.#plot = new uPlot(this.#options(width, height, enlarged), uPlot.join(tables), this.#element);
  }

  #options(width, height, k) {
    const { lines } = this.#panel;
    const named = this.#labelWidth(k);
    const labelled = named < width * 0.45;
    return {
      width,
      height,
      padding: [10 * k, (labelled ? named : 0) + 14 * k, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => this.#range.x },
        y: { range: () => this.#range.y, distr: this.#chart.log ? 3 : 1 },
      },
      axes: this.#axes(k),
      series: [{}, ...lines.map((line) => this.#series(line, k))],
      hooks: { draw: labelled ? [(plot) => this.#label(plot, k)] : [] },
      plugins: [reading(this.#chart, lines)],
    };
  }

  #axes(k) {
    const axis = {
      stroke: colour("muted"),
      grid: { stroke: colour("rule"), width: k },
      ticks: { show: false },
      font: `${11 * k}px ${FONT}`,
      gap: 5 * k,
    };
    const { kind, ticks, log } = this.#chart;
    const [, end] = this.#range.x;
    const x = { ...axis, size: 26 * k, space: 52 * k, values: (_, at) => at.map((value) => place(this.#chart, value)) };
    if (kind === "ordinal") x.splits = () => ticks.map((_, index) => index);
    if (kind === "percentiles") {
      const shown = PERCENTILES.filter(([nines]) => nines <= end + 1e-9);
      x.splits = () => shown.map(([nines]) => nines);
      x.values = (plot) => shown.map(([nines, name]) => (crowded(plot, nines, k) ? "" : name));
    }
    const y = { ...axis, size: 48 * k, space: 30 * k, values: (_, at) => at.map(short) };
    if (log) Object.assign(y, { splits: () => powersOfTen(...this.#range.y), filter: (_, at) => at });
    return [x, y];
  }

  #series(line, k) {
    return {
      label: line.label,
      stroke: colour(`c${line.slot}`),
      width: 2 * k,
      dash: DASHES[line.style].map((length) => length * k),
      spanGaps: true,
      points: { show: line.x.length < 3 || this.#chart.kind === "ordinal", size: 7 * k, fill: colour(`c${line.slot}`) },
    };
  }

  #labelWidth(k) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = `${11 * k}px ${FONT}`;
    return Math.max(...this.#panel.lines.map((line) => context.measureText(line.label).width));
  }

  /** Write each line's name beside its end; names that would cover each other are moved apart. */
  #label(plot, k) {
    const { ctx } = plot;
    const ratio = devicePixelRatio;
    const gap = 13 * k * ratio;
    const { top, height, left, width } = plot.bbox;
    const ends = this.#panel.lines.map((line) => {
      const y = line.y.at(-1);
      const end = plot.valToPos(this.#chart.log ? Math.max(y, this.#range.y[0]) : y, "y", true);
      return { line, x: plot.valToPos(line.x.at(-1), "x", true), end, y: end };
    });
    ends.sort((a, b) => a.y - b.y);
    ends.forEach((end, index) => (end.y = Math.max(end.y, index ? ends[index - 1].y + gap : top)));
    for (let index = ends.length - 1, floor = top + height; index >= 0; index--, floor -= gap) ends[index].y = Math.min(ends[index].y, floor);
    ctx.save();
    ctx.font = `${11 * k * ratio}px ${FONT}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    for (const { line, x, end, y } of ends) {
      this.#lead(ctx, colour(`c${line.slot}`), [x, end], [left + width + 4 * k * ratio, y], k * ratio);
      ctx.fillStyle = colour(`c${line.slot}`);
      ctx.fillText(line.label, left + width + 6 * k * ratio, y);
    }
    ctx.restore();
  }

  /** Lead the eye from a line's end to its name. */
  #lead(ctx, stroke, from, to, thickness) {
    ctx.beginPath();
    ctx.globalAlpha = 0.3;
    ctx.strokeStyle = stroke;
    ctx.lineWidth = thickness;
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
}

/** The powers of ten from `low` to `high`, which are two. */
function powersOfTen(low, high) {
  const first = Math.round(Math.log10(low));
  return Array.from({ length: Math.round(Math.log10(high)) - first + 1 }, (_, index) => 10 ** (first + index));
}

/** Whether a percentile's name would touch the one to its right. */
function crowded(plot, nines, k) {
  const next = PERCENTILES.find(([other]) => other > nines)?.[0];
  const apart = next === undefined ? Infinity : plot.valToPos(next, "x") - plot.valToPos(nines, "x");
  return apart < 34 * k && nines !== 1;
}

/** The values under the pointer, in a small box. */
function reading(chart, lines) {
  const box = document.createElement("div");
  box.className = "reading";
  box.hidden = true;
  box.ariaHidden = "true";
  const show = (plot) => {
    const { idx, left } = plot.cursor;
    box.hidden = idx === null || idx === undefined || left < 0;
    if (box.hidden) return;
    const rows = lines.map((line, index) => [line, lastValue(plot.data[index + 1], idx)]).filter(([, value]) => value !== undefined);
    rows.sort(([, a], [, b]) => b - a);
    box.replaceChildren(text("strong", place(chart, plot.data[0][idx])), ...rows.map(([line, value]) => row(line, `${short(value)} ${chart.unit}`)));
    const beyond = left + box.offsetWidth + 20 > plot.over.clientWidth;
    box.style.left = `${Math.max(0, beyond ? left - box.offsetWidth - 12 : left + 12)}px`;
    box.style.top = "4px";
  };
  return { hooks: { init: (plot) => plot.over.append(box), setCursor: show } };
}

/** The value at a place of a column, or the one before it: lines have points at places of their own. */
function lastValue(column, index) {
  while (index >= 0 && (column[index] === undefined || column[index] === null)) index--;
  return column[index];
}

function text(name, content) {
  const element = document.createElement(name);
  element.textContent = content;
  return element;
}

function row(line, value) {
  const element = document.createElement("div");
  const name = text("span", line.label);
  const mark = document.createElement("i");
  mark.className = `s${line.slot}`;
  name.prepend(mark);
  element.append(name, text("span", value));
  return element;
}
