// One lane of the race: a stream of one variant, and what it does to its view.

import { LaneView } from "./laneview.js";
import { heldOnes, resolve } from "./strategies.js";
import { DemandStream } from "./stream.js";

const COUNTED = ["emitted", "delivered", "dropped", "merged", "held", "demand"];
const STATS_MS = "50";

export class Lane {
  #stream = null;
  #clock = null;
  #nextSeq = 0;
  #heldOnes = "oldest";
  #onEnd;

  /**
   * @param {string} variant
   * @param {HTMLElement} parent where its view goes
   * @param {(lane: Lane) => void} onEnd called when its stream has ended by itself
   */
  constructor(variant, parent, onEnd) {
    this.variant = variant;
    this.view = new LaneView(variant, parent);
    this.#onEnd = onEnd;
  }

  get isRunning() {
    return this.view.state === "running";
  }

  /** Say what it runs with these settings. */
  announce(settings) {
    this.view.note = { key: resolve(this.variant, settings).note, strategy: settings.strategy };
  }

  /**
   * @param {object} settings of the controls
   * @param {() => number} speed of the reader
   * @param {import("./clock.js").ServerClock} clock shared by the lanes of a race, as the scale is
   * @param {import("./chart.js").SharedScale} scale
   */
  start(settings, speed, clock, scale) {
    this.stop();
    this.#clock = clock;
    this.#nextSeq = 0;
    this.view.clear(scale);
    this.announce(settings);
    this.view.state = "running";
    const { parameters } = resolve(this.variant, settings);
    this.#heldOnes = heldOnes(parameters);
    const query = { ...settings.shared, ...parameters, variant: this.variant, trace: "1", stats_ms: STATS_MS };
    this.#stream = new DemandStream(query, settings.prefetch, speed, this);
  }

  stop() {
    this.#stream?.stop();
    this.#stream = null;
  }

  /** Take a sample for the chart, `seconds` after the start of the race. */
  sample(seconds) {
    if (!this.isRunning) return;
    this.view.set("unread", this.#stream.unread);
    this.view.chart.add(seconds, this.view.values);
  }

  // --- What the stream tells -----------------------------------------------------------------------------------

  arrived(frame, arrivedMs) {
    this.#clock.align(frame.taken_ns, arrivedMs);
    this.view.map.mark(frame.seq, frame.merged ?? 1, "unread");
  }

  shown(frame) {
    const count = frame.merged ?? 1;
    this.#markGapUpTo(frame.seq);
    this.#nextSeq = frame.seq + count;
    if (count > 1) this.view.typewriter.writeMerged(frame.message, count);
    else this.view.typewriter.write(frame.message);
    this.view.map.mark(frame.seq, count, count > 1 ? "merged" : "shown");
    this.view.set("age", this.#clock.ageMs(frame.emitted_ns));
    this.view.set("late", (frame.emitted_ns - frame.due_ns) / 1e6);
  }

  counted(counts) {
    for (const name of COUNTED) this.view.set(name, counts[name]);
    this.view.map.expect(counts.emitted, counts.held, this.#heldOnes);
  }

  ended(state, message = "") {
    if (state !== "stopped" && this.view.values.dropped) this.#markGapUpTo(this.view.values.emitted);
    this.view.set("unread", 0);
    this.view.failure = state === "failed" ? message : null;
    this.view.state = state;
    if (state !== "stopped") this.#onEnd(this);
  }

  #markGapUpTo(seq) {
    const count = seq - this.#nextSeq;
    if (count <= 0) return;
    this.view.typewriter.writeGap(count);
    this.view.map.mark(this.#nextSeq, count, "lost");
    this.#nextSeq = seq;
  }
}
