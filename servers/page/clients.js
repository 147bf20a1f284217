// The two classic clients: EventSource, and fetch with a parser of one's own.

import { number, text } from "./i18n.js";
import { EventStreamParser } from "./sse.js";
import { Typewriter } from "./typewriter.js";
import { isValid } from "./validity.js";

/** What both share: a view with a state, and what a `message` or `error` event does to it. */
class ClassicClient {
  #element;
  #typewriter;
  #name;
  #title;
  #events = 0;
  #characters = 0;
  #failure = null;

  constructor(name, title, parent) {
    this.#name = name;
    this.#title = title;
    this.#element = document.getElementById("client-template").content.firstElementChild.cloneNode(true);
    this.#element.dataset.client = name;
    this.#typewriter = new Typewriter(this.#element.querySelector(".paper"), this.#element.querySelector("[data-text]"));
    this.#part("start").addEventListener("click", () => this.#start());
    this.#part("stop").addEventListener("click", () => this.stop());
    parent.append(this.#element);
    this.translate();
  }

  /** Begin to read a stream with these parameters. */
  open(parameters) {
    throw new Error(`${this.#name} cannot open ${parameters}`);
  }

  /** Let go of the connection. */
  close() {}

  stop() {
    this.close();
    this.state = "stopped";
  }

  /** Begin again: a reconnect starts the stream anew, so what was written is no part of it. */
  restart() {
    this.#typewriter.clear();
    this.#events = this.#characters = 0;
    this.#fail(null);
    this.state = "running";
  }

  /** @param {string} data of a `message` event */
  message(data) {
    const { ended, message } = JSON.parse(data);
    if (ended) {
      this.close();
      this.state = "completed";
      return;
    }
    this.#typewriter.write(message);
    this.#events += 1;
    this.#characters += [...message].length;
    this.#showTally();
  }

  /** @param {string} reason the server's words, or the key of a text */
  failed(reason) {
    this.close();
    this.#fail(reason);
    this.state = "failed";
  }

  set state(state) {
    this.#element.dataset.state = state;
    this.#part("state").textContent = text(`state.${state}`);
    this.#part("stop").disabled = !["running", "reconnecting"].includes(state);
  }

  translate() {
    this.#element.querySelector("h3").textContent = this.#title;
    this.#element.querySelector(".paper").setAttribute("aria-label", text("paper", { name: this.#title }));
    this.#part("what").textContent = text(`${this.#name}.what`);
    this.#part("start").textContent = text("start.client");
    this.#part("stop").textContent = text("stop");
    this.state = this.#element.dataset.state;
    this.#fail(this.#failure);
    this.#showTally();
  }

  #start() {
    const controls = [...document.querySelectorAll("#classic-controls input, #classic-controls select")];
    if (!controls.every(isValid)) return;
    this.close();
    this.restart();
    this.open(Object.fromEntries(controls.map((control) => [control.name, control.value])));
  }

  #fail(reason) {
    this.#failure = reason;
    const element = this.#part("failure");
    element.hidden = reason === null;
    element.textContent = reason?.startsWith("failure.") ? text(reason) : (reason ?? "");
  }

  #showTally() {
    const values = { events: number(this.#events), characters: number(this.#characters) };
    this.#part("tally").textContent = text("tally", values);
  }

  #part(name) {
    return this.#element.querySelector(`[data-part=${name}]`);
  }
}

export class EventSourceClient extends ClassicClient {
  #source = null;

  constructor(parent) {
    super("eventsource", "EventSource", parent);
  }

  open(parameters) {
    const source = new EventSource(`/v1/chat/stream?${new URLSearchParams(parameters)}`);
    this.#source = source;
    source.onopen = () => this.restart();
    source.onmessage = ({ data }) => this.message(data);
    // An event that the server named "error" bears data; the browser's own, about the connection, does not.
    source.onerror = ({ data }) => {
      if (data) this.failed(JSON.parse(data).error.message);
      else if (source.readyState === EventSource.CLOSED) this.failed("failure.refused");
      else this.state = "reconnecting";
    };
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }
}

export class FetchClient extends ClassicClient {
  #abort = null;

  constructor(parent) {
    super("fetch", "fetch", parent);
  }

  async open(parameters) {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      await this.#read(parameters, abort.signal);
      if (!abort.signal.aborted) this.failed("failure.lost");
    } catch (error) {
      if (!abort.signal.aborted) this.failed(error instanceof StreamError ? error.message : "failure.lost");
    }
  }

  /** Aborting ends the connection, and with it the stream on the server. */
  close() {
    this.#abort?.abort();
    this.#abort = null;
  }

  async #read({ rate, reader_rate, ...names }, signal) {
    const body = JSON.stringify({ ...names, rate: Number(rate), reader_rate: Number(reader_rate) });
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const response = await fetch("/v1/chat/completions", { method: "POST", headers, body, signal });
    if (!response.ok) throw new StreamError((await response.json()).error.message);
    const parser = new EventStreamParser();
    const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
      for (const { type, data } of parser.feed(piece.value)) {
        if (type === "error") throw new StreamError(JSON.parse(data).error.message);
        if (type === "message") this.message(data);
        if (signal.aborted) return;
      }
    }
  }
}

/** The server said why. */
class StreamError extends Error {}
