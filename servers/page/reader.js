// A reader of limited speed: what it asks for, what has arrived, and what it takes.

const TICK_MS = 16;
const MOST_AT_ONCE = 256;

/** The speeds of the slider, in items a second. */
export const SPEEDS = [0, 1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 240, Infinity];

/**
 * Demand goes out when the reader is ready, not when it has read: what then comes is as fresh as the strategy allows.
 * `prefetch` is asked for on top, and waits here.
 */
export class PacedReader {
  #prefetch;
  #inbox = [];
  #ready; // items that it could take now
  #earned = 0; // the fraction of the next one
  #outstanding; // requested and not arrived
  #lastMs = 0;
  #timer = null;
  #isStopped = false;
  #speed;
  #take;
  #request;

  /** Items that have arrived and not been taken. */
  unread = 0;

  /** What to ask for at first. */
  initialDemand;

  /**
   * @param {number} prefetch
   * @param {() => number} speed items a second, asked at each tick so that it can change while reading
   * @param {(frame: object) => void} take gets each frame when its time has come
   * @param {(n: number) => void} request asks for more items
   */
  constructor(prefetch, speed, take, request) {
    this.#prefetch = prefetch;
    this.#speed = speed;
    this.#take = take;
    this.#request = request;
    this.#ready = speed() > 0 ? 1 : 0;
    this.#outstanding = this.initialDemand = prefetch + this.#ready;
  }

  /** Begin to earn and to ask: not before a request can be sent. */
  start() {
    this.#lastMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#isStopped = true;
  }

  /** Put a frame in line. One that is not an item is taken as soon as it is the first. */
  put(frame, isItem) {
    this.#inbox.push({ frame, isItem });
    if (isItem) {
      this.unread += 1;
      this.#outstanding = Math.max(0, this.#outstanding - 1);
    }
    this.#read();
  }

  #tick() {
    const now = performance.now();
    this.#earn(this.#speed(), (now - this.#lastMs) / 1000);
    this.#lastMs = now;
    this.#read();
    const wanted = this.#prefetch + this.#ready - this.unread - this.#outstanding;
    if (wanted < 1 || this.#isStopped) return;
    this.#outstanding += wanted;
    this.#request(wanted);
  }

  #earn(speed, seconds) {
    if (speed === Infinity) {
      this.#ready = MOST_AT_ONCE;
      return;
    }
    // Time in which there was nothing to read is not made up for with a burst.
    const most = speed > 0 ? Math.max(1, Math.floor(speed * seconds)) : 0;
    this.#earned = Math.min(this.#earned + speed * seconds, most + 1);
    const taken = Math.max(0, Math.min(Math.floor(this.#earned), most - this.#ready));
    this.#earned -= taken;
    this.#ready = Math.min(this.#ready + taken, most);
  }

  #read() {
    while (!this.#isStopped && this.#inbox.length && (this.#ready > 0 || !this.#inbox[0].isItem)) {
      const { frame, isItem } = this.#inbox.shift();
      if (isItem) {
        this.#ready -= 1;
        this.unread -= 1;
      }
      this.#take(frame);
    }
  }
}
