// On paper: the marble diagram of one strategy, simulated and drawn by the server. Nothing is drawn here.

import { number, text } from "./i18n.js";
import { SPEEDS } from "./reader.js";
import { STRATEGIES, WITH_CAPACITY, offer } from "./strategies.js";
import { isValid } from "./validity.js";

const DEFAULT_STRATEGY = "drop";
const WAIT_MS = 60; // while a slider moves only where it rests is asked for

export class Drawing {
  #panel = document.getElementById("drawing-controls");
  #reader = document.getElementById("drawing-reader");
  #picture = document.getElementById("drawing-picture");
  #failure = document.getElementById("drawing-failure");
  #counts = null;
  #timer = null;
  #asking = new AbortController();

  constructor() {
    this.#field("strategy").append(...STRATEGIES.map((name) => new Option(name, name)));
    this.#field("strategy").value = DEFAULT_STRATEGY;
    this.#panel.addEventListener("input", () => this.#changed());
  }

  /** Write all texts anew, in the language of now. */
  translate() {
    for (const option of this.#field("strategy").options) option.textContent = text(`strategy.${option.value}`);
    this.#show();
    this.#describe();
  }

  /** Ask for the drawing of what is chosen, and show it, or why there is none. */
  async draw() {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      const response = await fetch(`/v1/marbles?${new URLSearchParams(this.#parameters)}`, { signal });
      if (!response.ok) throw new Error((await response.json()).error.message);
      this.#take(await response.text());
    } catch (error) {
      if (!signal.aborted) this.#fail(error instanceof TypeError ? text("failure.lost") : error.message);
    }
  }

  #changed() {
    this.#show();
    clearTimeout(this.#timer);
    if ([...this.#panel.querySelectorAll("input:not([type=range])")].every(isValid)) {
      this.#timer = setTimeout(() => this.draw(), WAIT_MS);
    }
  }

  /** Show the controls that matter to the strategy. */
  #show() {
    const strategy = this.#field("strategy").value;
    const wanted = { capacity: WITH_CAPACITY.includes(strategy), overflow: strategy === "buffer", max_merged: strategy === "reduce" };
    for (const [name, isWanted] of Object.entries(wanted)) {
      this.#panel.querySelector(`[data-for=${name}]`).hidden = this.#field(name).disabled = !isWanted;
    }
    offer(this.#field("capacity"), "0", strategy === "suspend");
    offer(this.#field("capacity"), "unbounded", strategy === "buffer");
    const speed = this.#speed;
    const words = text(speed === Infinity ? "reader.unlimited" : "reader.speed", { rate: number(speed) });
    document.getElementById("drawing-speed").textContent = words;
    this.#reader.setAttribute("aria-valuetext", words);
    document.getElementById("drawing-explanation").textContent = text(`explain.${strategy}`);
  }

  get #parameters() {
    const given = [...this.#panel.querySelectorAll("[name]:not(:disabled)")].map(({ name, value }) => [name, value]);
    const rate = this.#speed === Infinity ? 0 : this.#speed;
    return Object.fromEntries([...given.filter(([, value]) => value !== ""), ["reader_rate", rate]]);
  }

  /** Items a second; a reader that takes nothing is not offered. */
  get #speed() {
    return SPEEDS[this.#reader.valueAsNumber];
  }

  #field(name) {
    return this.#panel.querySelector(`[name=${name}]`);
  }

  #take(drawing) {
    // The page's policy refuses styles that are not its own, also in what is parsed only to be counted.
    const unstyled = drawing.replace(/<style>.*?<\/style>/s, "");
    const parsed = new DOMParser().parseFromString(unstyled, "image/svg+xml");
    this.#counts = counted(parsed);
    document.getElementById("drawing-words").textContent = parsed.querySelector("desc").textContent;
    this.#picture.width = parsed.documentElement.getAttribute("width");
    this.#picture.height = parsed.documentElement.getAttribute("height");
    // As an image it has its own style.
    this.#picture.src = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
    this.#failure.hidden = true;
    this.#describe();
  }

  #fail(message) {
    this.#failure.textContent = message;
    this.#failure.hidden = false;
  }

  #describe() {
    if (this.#counts === null) return;
    const values = Object.fromEntries(Object.entries(this.#counts).map(([name, count]) => [name, number(count)]));
    const summary = text("drawing.summary", values);
    document.getElementById("drawing-summary").textContent = summary;
    this.#picture.alt = `${text("drawing.picture")} ${summary}`;
  }
}

/** Count what is drawn: each marble says what it is, each column also for how many it stands. */
function counted(drawing) {
  const count = (lane, ...kinds) =>
    [...drawing.querySelectorAll(`[data-lane=${lane}][data-kind]`)]
      .filter(({ dataset }) => kinds.includes(dataset.kind))
      .reduce((sum, { dataset }) => sum + Number(dataset.count ?? 1), 0);
  return {
    emitted: count("source", "passed"),
    delivered: count("consumer", "passed", "merged"),
    dropped: count("boundary", "dropped"),
    merged: count("boundary", "merged"),
  };
}
