// One stream over WebSocket whose demand is the page's reader.

import { PacedReader } from "./reader.js";

/**
 * @typedef {object} Listener
 * @property {(frame: object, arrivedMs: number) => void} arrived an item came in
 * @property {(frame: object) => void} shown the reader took an item
 * @property {(counts: object) => void} counted the server's statistics
 * @property {(state: string, message?: string) => void} ended completed, failed or stopped; nothing follows
 */
export class DemandStream {
  #socket;
  #reader;
  #listener;
  #query;
  #isOver = false;
  #wasOpen = false;

  /**
   * @param {Record<string, string>} query parameters of the stream
   * @param {number} prefetch what is asked for ahead of the reader
   * @param {() => number} speed of the reader, in items a second
   * @param {Listener} listener
   */
  constructor(query, prefetch, speed, listener) {
    this.#query = new URLSearchParams(query);
    this.#listener = listener;
    this.#reader = new PacedReader(prefetch, speed, (frame) => this.#take(frame), (n) => this.#send({ request: n }));
    this.#socket = new WebSocket(`/v1/chat/ws?${this.#query}&demand=${this.#reader.initialDemand}`);
    this.#socket.onopen = () => this.#opened();
    this.#socket.onmessage = ({ data }) => this.#arrived(JSON.parse(data));
    this.#socket.onclose = () => this.#reader.put({ isClosed: true }, false);
  }

  /** Items that have arrived and wait for the reader. */
  get unread() {
    return this.#reader.unread;
  }

  /** Cancel it, here and on the server. */
  stop() {
    if (this.#isOver) return;
    this.#send({ cancel: true }); // or, if it is not open yet, as soon as it is
    this.#end("stopped");
  }

  #opened() {
    this.#wasOpen = true;
    if (this.#isOver) this.#send({ cancel: true });
    else this.#reader.start();
  }

  #send(frame) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #arrived(frame) {
    if (this.#isOver) return;
    if (frame.statistics) this.#listener.counted(frame.statistics);
    if (frame.ended === false) this.#listener.arrived(frame, performance.now());
    if (frame.error || "ended" in frame) this.#reader.put(frame, frame.ended === false);
  }

  #take(frame) {
    if (frame.ended === false) this.#listener.shown(frame);
    else if (frame.ended) this.#end("completed");
    else if (frame.error) this.#end("failed", frame.error.message);
    else this.#closed();
  }

  #end(state, message) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reader.stop();
    this.#listener.ended(state, message);
  }

  async #closed() {
    this.#end("failed", this.#wasOpen ? "" : await refusal(this.#query));
  }
}

/**
 * A browser does not show why a WebSocket was refused; the same query over plain HTTP is answered in words.
 * @returns {Promise<string>} the server's sentence; "" if there is none
 */
async function refusal(query) {
  try {
    const response = await fetch(`/v1/chat/stream?${query}`);
    if (!response.ok) return (await response.json()).error.message;
    await response.body.cancel(); // it takes the stream by now: nobody reads this one
  } catch {
    // No server, no reason.
  }
  return "";
}
