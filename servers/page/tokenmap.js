// A map of the source: one cell for each token, coloured by what became of it.

import { colour } from "./colours.js";

const CELL = 6;
const PITCH = 8;
const ROWS = 8;

export class TokenMap {
  #canvas;
  #cells = []; // for each token: "shown", "lost", "merged" or "unread"
  #joined = new Set(); // tokens that continue the one before them
  #emitted = 0;
  #held = { from: 0, to: 0 };
  #dirty = false;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#schedule()).observe(canvas);
  }

  clear() {
    this.#cells = [];
    this.#joined.clear();
    this.#emitted = 0;
    this.#held = { from: 0, to: 0 };
    this.#schedule();
  }

  /** Say what became of the tokens from `first` on. */
  mark(first, count, kind) {
    for (let index = first; index < first + count; index += 1) {
      this.#cells[index] = kind;
      if (kind === "merged" && index > first) this.#joined.add(index);
    }
    this.#schedule();
  }

  /** Of the `emitted` tokens, those without a mark are held or lost: `held` of them are held, `which` says which. */
  expect(emitted, held, which) {
    const first = this.#cells.length;
    if (which === "newest") this.#held = { from: Math.max(first, emitted - held), to: emitted };
    else this.#held = { from: first, to: which === "all" && held ? emitted : Math.min(emitted, first + held) };
    this.#emitted = emitted;
    this.#schedule();
  }

  redraw() {
    this.#schedule();
  }

  #schedule() {
    if (this.#dirty) return;
    this.#dirty = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#dirty = false;
    const width = this.#canvas.clientWidth;
    const ratio = devicePixelRatio;
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(ROWS * PITCH * ratio);
    const context = this.#canvas.getContext("2d");
    context.scale(ratio, ratio);
    const columns = Math.max(1, Math.floor(width / PITCH));
    const total = Math.max(this.#cells.length, this.#emitted);
    const firstRow = Math.max(0, Math.ceil(total / columns) - ROWS);
    for (let index = firstRow * columns; index < columns * (firstRow + ROWS); index += 1) {
      const kind = this.#cells[index] ?? this.#expected(index);
      const x = (index % columns) * PITCH;
      const y = (Math.floor(index / columns) - firstRow) * PITCH;
      this.#cell(context, x, y, kind, this.#joined.has(index + 1));
    }
  }

  #expected(index) {
    if (index >= this.#emitted) return "empty";
    return index >= this.#held.from && index < this.#held.to ? "held" : "lost";
  }

  #cell(context, x, y, kind, joined) {
    context.fillStyle = context.strokeStyle = colour(kind);
    if (kind === "lost") context.strokeRect(x + 0.5, y + 0.5, CELL - 1, CELL - 1);
    else if (kind === "empty") context.fillRect(x + 2, y + 2, 2, 2);
    else context.fillRect(x, y, joined ? PITCH : CELL, CELL);
  }
}
