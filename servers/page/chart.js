// A small chart of one lane: what is held, dropped and unread, over time. All lanes share their scales.

import { colour } from "./colours.js";

/* global uPlot */

const HEIGHT = 120;
const SERIES = ["held", "lost", "unread"];

/** The range of all charts of a race, so that they can be compared at a glance. */
export class SharedScale {
  seconds = 5;
  tokens = 10;

  include(seconds, tokens) {
    this.seconds = Math.max(this.seconds, seconds);
    this.tokens = Math.max(this.tokens, tokens);
  }
}

export class LaneChart {
  #plot;
  #data = [[], [], [], []];
  #scale = new SharedScale();

  constructor(element) {
    this.#plot = new uPlot(this.#options(element.clientWidth || 300), this.#data, element);
    new ResizeObserver(() => this.#plot.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
  }

  clear(scale) {
    this.#scale = scale;
    this.#data = [[], [], [], []];
    this.redraw();
  }

  add(seconds, { held, dropped, unread }) {
    [seconds, held, dropped, unread].forEach((value, row) => this.#data[row].push(value));
    this.#scale.include(seconds, Math.max(held, dropped, unread));
  }

  redraw() {
    this.#plot.setData(this.#data);
  }

  #options(width) {
    const axis = {
      stroke: () => colour("muted"),
      grid: { stroke: () => colour("rule"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const lines = SERIES.map((name) => ({
      stroke: () => colour(name),
      width: 2,
      fill: name === "held" ? () => colour("held-wash") : undefined,
      points: { show: false },
    }));
    return {
      width,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [0, this.#scale.seconds] },
        y: { range: () => [0, this.#scale.tokens * 1.08] },
      },
      axes: [
        { ...axis, size: 24, space: 60, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
        { ...axis, size: 40, space: 30 },
      ],
      series: [{}, ...lines],
    };
  }
}
