// The race: three lanes with the same source, seed and strategy, started together.

import { SharedScale } from "./chart.js";
import { ServerClock } from "./clock.js";
import { Lane } from "./lane.js";
import { VARIANTS } from "./strategies.js";

const SAMPLE_MS = 100;

export class Race {
  #lanes;
  #timer = null;
  #startedMs = 0;
  #onChange;

  /**
   * @param {HTMLElement} parent where the lanes go
   * @param {(lane: Lane) => void} onChange called with a lane that has ended
   */
  constructor(parent, onChange) {
    this.#onChange = onChange;
    this.#lanes = VARIANTS.map((variant) => new Lane(variant, parent, (lane) => this.#laneEnded(lane)));
  }

  get isRunning() {
    return this.#lanes.some((lane) => lane.isRunning);
  }

  announce(settings) {
    for (const lane of this.#lanes) lane.announce(settings);
  }

  start(settings, speed) {
    this.stop();
    const clock = new ServerClock();
    const scale = new SharedScale();
    for (const lane of this.#lanes) lane.start(settings, speed, clock, scale);
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  stop() {
    for (const lane of this.#lanes) lane.stop();
    clearInterval(this.#timer);
  }

  translate() {
    for (const lane of this.#lanes) lane.view.translate();
  }

  recolour() {
    for (const lane of this.#lanes) lane.view.recolour();
  }

  #sample() {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    for (const lane of this.#lanes) lane.sample(seconds);
    for (const lane of this.#lanes) lane.view.chart.redraw(); // those that have ended, too: the scale is shared
  }

  #laneEnded(lane) {
    if (!this.isRunning) {
      this.#sample();
      clearInterval(this.#timer);
    }
    this.#onChange(lane);
  }
}
