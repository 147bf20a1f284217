// An incremental parser of event streams, after the WHATWG rules: what EventSource does, for the body of a fetch.

/** Feed it text in any pieces, as a TextDecoder gives it (which takes off the BOM); each returns what it completed. */
export class EventStreamParser {
  #afterCarriageReturn = false;
  #line = "";
  #data = [];
  #type = "";
  #id = "";

  lastEventId = "";

  /** @param {string} text @returns {{type: string, data: string, lastEventId: string}[]} */
  feed(text) {
    if (!text) return [];
    const events = [];
    // A line feed after a carriage return that ended the last piece ends no second line.
    const rest = this.#afterCarriageReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCarriageReturn = text.endsWith("\r");
    const lines = rest.split(/\r\n|\n|\r/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    for (const line of lines) {
      if (line) this.#field(line);
      else this.#dispatch(events);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch(events) {
    this.lastEventId = this.#id;
    if (this.#data.length) {
      events.push({ type: this.#type || "message", data: this.#data.join("\n"), lastEventId: this.#id });
    }
    this.#data = [];
    this.#type = "";
  }
}
