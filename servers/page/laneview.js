// What one lane of the race looks like: text, map, counters and chart. It knows nothing of streams.

import { LaneChart } from "./chart.js";
import { number, text } from "./i18n.js";
import { TokenMap } from "./tokenmap.js";
import { Typewriter } from "./typewriter.js";

const COUNTERS = ["emitted", "delivered", "dropped", "merged", "held", "demand", "unread", "age", "late"];
const IN_MS = ["age", "late"];
const UNBOUNDED = 2 ** 53;

export class LaneView {
  #element;
  #labels = new Map();
  #outputs = new Map();
  #note = null;
  #failure = null;

  /** Counters by name; times are in milliseconds. */
  values = {};

  /** @param {string} variant @param {HTMLElement} parent where to put it */
  constructor(variant, parent) {
    this.variant = variant;
    this.#element = document.getElementById("lane-template").content.firstElementChild.cloneNode(true);
    this.#element.dataset.variant = variant;
    for (const name of COUNTERS) this.#addCounter(name);
    parent.append(this.#element);
    this.typewriter = new Typewriter(this.#find(".paper"), this.#find("[data-text]"));
    this.map = new TokenMap(this.#find(".map"));
    this.chart = new LaneChart(this.#find(".chart"));
    this.translate();
  }

  get state() {
    return this.#element.dataset.state;
  }

  set state(state) {
    this.#element.dataset.state = state;
    this.#part("state").textContent = text(`state.${state}`);
  }

  /** Say which strategy runs: the key of a text, and the strategy that was chosen. */
  set note(note) {
    this.#note = note;
    this.#part("note").textContent = note
      ? text(note.key, { strategy: text(`strategy.${note.strategy}`) })
      : "";
    this.#element.toggleAttribute("data-differs", Boolean(note) && note.key !== "note.same");
  }

  /** Say why it failed: the server's words, "" if there are none, or null when it did not. */
  set failure(message) {
    this.#failure = message;
    const element = this.#part("failure");
    element.hidden = message === null;
    element.textContent = message === "" ? text("failure.lost") : (message ?? "");
  }

  set(name, value) {
    this.values[name] = value;
    const output = this.#outputs.get(name);
    output.dataset.value = value;
    output.textContent = IN_MS.includes(name) ? duration(value) : value >= UNBOUNDED ? "∞" : number(value);
    output.toggleAttribute("data-some", value > 0);
  }

  /** Make it empty, for a race whose charts share `scale`. */
  clear(scale) {
    this.typewriter.clear();
    this.map.clear();
    this.chart.clear(scale);
    this.failure = null;
    for (const name of COUNTERS) this.set(name, 0);
  }

  /** Draw what is on canvases again: colours have changed. */
  recolour() {
    this.map.redraw();
    this.chart.redraw();
  }

  /** Write all texts in the current language. */
  translate() {
    const name = text(`${this.variant}.name`);
    this.#find("h3").textContent = name;
    this.#part("what").textContent = text(`${this.variant}.what`);
    this.#find(".paper").setAttribute("aria-label", text("paper", { name }));
    this.#find(".map").setAttribute("aria-label", text("map"));
    this.#find(".chart").setAttribute("aria-label", text("chart"));
    for (const counter of COUNTERS) {
      this.#labels.get(counter).textContent = text(counter);
      this.set(counter, this.values[counter] ?? 0);
    }
    this.state = this.state;
    this.note = this.#note;
    this.failure = this.#failure;
  }

  #addCounter(name) {
    const pair = document.createElement("div");
    const label = document.createElement("dt");
    const output = document.createElement("dd");
    output.dataset.counter = name;
    pair.append(label, output);
    this.#part("counters").append(pair);
    this.#labels.set(name, label);
    this.#outputs.set(name, output);
  }

  #find(selector) {
    return this.#element.querySelector(selector);
  }

  #part(name) {
    return this.#find(`[data-part=${name}]`);
  }
}

function duration(ms) {
  return ms < 1000 ? `${number(Math.round(Math.max(0, ms)))} ms` : `${number(ms / 1000)} s`;
}
