// The server's monotonic clock, as far as a page can know it.

/** Aligned by the frame that took the least time from the server's tail to this page: that time counts as none. */
export class ServerClock {
  #offsetMs = Infinity;

  align(takenNs, arrivedMs) {
    this.#offsetMs = Math.min(this.#offsetMs, arrivedMs - takenNs / 1e6);
  }

  /** Milliseconds since the server's `emittedNs`. */
  ageMs(emittedNs) {
    return performance.now() - this.#offsetMs - emittedNs / 1e6;
  }
}
