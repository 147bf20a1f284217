// The controls of the race, as settings.

import { number, text } from "./i18n.js";
import { SPEEDS } from "./reader.js";
import { STRATEGIES, WITH_CAPACITY, offer } from "./strategies.js";
import { isValid } from "./validity.js";

const DEFAULT_STRATEGY = "drop";

export class Controls {
  #panel = document.getElementById("controls");
  #reader = document.getElementById("reader");
  #speed = document.getElementById("reader-speed");

  /** @param {() => void} changed called when a setting other than the reader's speed was changed */
  constructor(changed) {
    document.getElementById("strategies").append(...STRATEGIES.map(pill));
    this.#panel.addEventListener("change", (event) => {
      if (event.target === this.#reader) return;
      this.show();
      if (isValid(event.target)) changed();
    });
    this.#reader.addEventListener("input", () => this.#showSpeed());
  }

  /** Items a second that the reader takes at the moment. */
  get speed() {
    return SPEEDS[this.#reader.valueAsNumber];
  }

  get isValid() {
    return [...this.#panel.querySelectorAll("input")].every(isValid);
  }

  /** `shared` are the query parameters that all lanes have in common. */
  get settings() {
    const shared = {
      source: this.#value("source"),
      rate: this.#value("rate"),
      pacing: this.#value("pacing"),
      seed: this.#value("seed"),
    };
    if (this.#value("count")) shared.count = this.#value("count");
    return {
      strategy: this.#strategy,
      capacity: this.#value("capacity"),
      overflow: this.#value("overflow"),
      prefetch: Number(this.#value("prefetch")),
      shared,
    };
  }

  /** Offer what the server has: its recordings, and the models of its upstream. */
  addSources(names) {
    for (const select of document.querySelectorAll("select[name=source]")) {
      for (const name of names) {
        if (![...select.options].some((option) => option.value === name)) select.add(new Option(name, name));
      }
    }
  }

  /** Bring what depends on the settings up to date. */
  show() {
    const strategy = this.#strategy;
    document.getElementById("explanation").textContent = text(`explain.${strategy}`);
    this.#panel.querySelector("[data-for=capacity]").hidden = !WITH_CAPACITY.includes(strategy);
    this.#panel.querySelector("[data-for=overflow]").hidden = strategy !== "buffer";
    offer(this.#control("capacity"), "0", strategy === "suspend");
    offer(this.#control("capacity"), "unbounded", strategy === "buffer");
    offer(this.#control("pacing"), "recorded", this.#value("source").startsWith("recording:"));
    for (const label of this.#panel.querySelectorAll(".pills span")) {
      label.textContent = text(`strategy.${label.dataset.strategy}`);
    }
    this.#showSpeed();
  }

  get #strategy() {
    return this.#panel.querySelector("[name=strategy]:checked").value;
  }

  #value(name) {
    return this.#control(name).value;
  }

  #control(name) {
    return this.#panel.querySelector(`[name=${name}]`);
  }

  #showSpeed() {
    const { speed } = this;
    const key = speed === 0 ? "reader.paused" : speed === Infinity ? "reader.unlimited" : "reader.speed";
    this.#speed.textContent = text(key, { rate: number(speed) });
    this.#reader.setAttribute("aria-valuetext", this.#speed.textContent);
  }
}

function pill(strategy) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "strategy", value: strategy, defaultChecked: strategy === DEFAULT_STRATEGY });
  const name = document.createElement("span");
  name.dataset.strategy = strategy;
  label.append(input, name);
  return label;
}
