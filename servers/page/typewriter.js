// Writes tokens onto the paper: as text, never as HTML, with a mark where one is missing or several are one.
//
// The numbers of the marks stand in attributes and are drawn by the style sheet: the text stays what the source said.

import { text } from "./i18n.js";

const AT_END_PX = 40;

export class Typewriter {
  #paper;
  #text;
  #characters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

  /** @param {HTMLElement} paper what scrolls @param {HTMLElement} textElement what is written to */
  constructor(paper, textElement) {
    this.#paper = paper;
    this.#text = textElement;
  }

  clear() {
    this.#text.replaceChildren();
  }

  /** Write a token. */
  write(content) {
    this.#following(() => {
      const last = this.#text.lastChild;
      if (last instanceof Text) last.appendData(content);
      else if (last?.className === "merged" && this.#begunCharacter(last, content)) extend(last, content, 1);
      else this.#text.append(content);
    });
  }

  /** Write a token that stands for `count` tokens of the source, marked as such. */
  writeMerged(content, count) {
    this.#following(() => {
      const last = this.#text.lastChild;
      const begun = this.#begunCharacter(last, content);
      if (!begun) {
        this.#append("merged", count, content).title = text("merged.title", { n: count });
      } else if (last instanceof Text) {
        last.deleteData(last.length - begun.length, begun.length);
        this.#append("merged", `1+${count}`, begun + content);
      } else extend(last, content, count);
    });
  }

  /** Mark that `count` tokens are missing here. */
  writeGap(count) {
    this.#following(() => {
      this.#append("gap", count, "").title = text("gap.title", { n: count });
    });
  }

  /**
   * The character at the end of `node` that `content` goes on with, such as an emoji of several code points; "" if
   * there is none. A mark in the middle of it would make it look broken although nothing is lost.
   */
  #begunCharacter(node, content) {
    const before = node?.textContent.slice(-32) ?? "";
    for (const { segment, index } of this.#characters.segment(before + content)) {
      if (index >= before.length) return "";
      if (index + segment.length > before.length) return before.slice(index);
    }
    return "";
  }

  #append(name, count, content) {
    const mark = document.createElement("span");
    mark.className = name;
    mark.dataset.count = count;
    mark.textContent = content;
    this.#text.append(mark);
    return mark;
  }

  /** Write, and keep the end in view unless the reader has scrolled away from it. */
  #following(write) {
    const { scrollHeight, scrollTop, clientHeight } = this.#paper;
    write();
    if (scrollHeight - scrollTop - clientHeight < AT_END_PX) this.#paper.scrollTop = this.#paper.scrollHeight;
  }
}

function extend(mark, content, count) {
  mark.textContent += content;
  mark.dataset.count += `+${count}`;
}
