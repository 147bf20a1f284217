// The view of MarblePlayer. It computes nothing of a stream and draws nothing: the kernel sends the drawing and where
// each moment is in it; here a veil covers what has not happened yet, and the controls send what they say.

const PLAY_MS = 6000; // from the first moment to the last
const LEAST_STEP_MS = 60;

function render({ model, el }) {
  const view = new View(model, el);
  return () => view.leave();
}

class View {
  #model;
  #root = make("section", { className: "marble-player" });
  #sheet = make("div", { className: "mp-sheet" });
  #drawing = make("div", { className: "mp-drawing" });
  #veil = make("div", { className: "mp-veil" });
  #words = make("p", { className: "mp-words" });
  #error = make("p", { className: "mp-error", hidden: true });
  #time = make("input", { type: "range", min: 0, step: 1 });
  #play = make("button", { type: "button" });
  #fields = new Map();
  #timer = null;
  #changed = () => this.#show();
  #chosen = () => this.#fill();

  constructor(model, el) {
    this.#model = model;
    this.#root.setAttribute("aria-label", "Marble player · 弹珠播放器");
    // Arrows and Enter are ours here: a notebook takes them for its own, and keeps them from the scrubber.
    this.#root.addEventListener("keydown", (event) => event.stopPropagation());
    this.#words.setAttribute("role", "status");
    this.#error.setAttribute("role", "alert");
    this.#time.setAttribute("aria-label", "Moment · 时刻");
    this.#veil.setAttribute("aria-hidden", "true");
    this.#sheet.append(this.#drawing, this.#veil);
    this.#root.append(this.#controls(), this.#error, this.#sheet, this.#transport(), this.#words);
    el.append(this.#root);
    this.#time.addEventListener("input", () => {
      this.#stop();
      this.#move();
    });
    this.#play.addEventListener("click", () => (this.#timer === null ? this.#start() : this.#stop()));
    model.on("change:shown", this.#changed);
    model.on("change:settings", this.#chosen);
    this.#fill();
    this.#show();
  }

  leave() {
    this.#stop();
    this.#model.off("change:shown", this.#changed);
    this.#model.off("change:settings", this.#chosen);
    this.#root.remove();
  }

  // --- The controls

  #controls() {
    const row = make("div", { className: "mp-row" });
    for (const control of this.#model.get("controls")) {
      const label = make("label", { title: control.title });
      const field = control.choices.length ? choice(control) : make("input", { type: "number", step: "any", ...limits(control) });
      field.name = control.name;
      field.addEventListener(control.choices.length ? "change" : "input", () => this.#choose());
      label.append(make("span", { textContent: control.label }), field);
      row.append(label);
      this.#fields.set(control.name, { field, label, strategies: control.for });
    }
    return row;
  }

  #transport() {
    const row = make("div", { className: "mp-transport" });
    row.append(this.#play, this.#time);
    return row;
  }

  /** Send what the controls say, unless one of them says nothing. */
  #choose() {
    const settings = { ...this.#model.get("settings") };
    for (const [name, { field }] of this.#fields) {
      if (field.value === "") return;
      settings[name] = field.value;
    }
    this.#showDetails(settings.strategy);
    this.#model.set("settings", settings);
    this.#model.save_changes();
  }

  #fill() {
    const settings = this.#model.get("settings");
    for (const [name, { field }] of this.#fields) {
      if (field.value !== settings[name]) field.value = settings[name];
    }
    this.#showDetails(settings.strategy);
  }

  #showDetails(strategy) {
    for (const { label, strategies } of this.#fields.values()) {
      label.hidden = strategies.length > 0 && !strategies.includes(strategy);
    }
  }

  // --- The drawing and the time

  #show() {
    const { svg, error } = this.#model.get("shown");
    this.#error.textContent = error;
    this.#error.hidden = error === "";
    if (error !== "") return;
    this.#stop();
    const drawing = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    this.#drawing.replaceChildren(document.importNode(drawing, true));
    this.#time.max = this.#moments.length - 1;
    this.#time.value = this.#time.max;
    this.#move();
  }

  get #moments() {
    return this.#model.get("shown").moments;
  }

  #move() {
    const { ms, x, words } = this.#moments[this.#time.valueAsNumber];
    const isEnd = this.#time.value === this.#time.max;
    this.#veil.hidden = isEnd;
    this.#veil.style.left = `${100 * x}%`;
    this.#words.textContent = `${Number(ms.toPrecision(6))} ms: ${words}`;
    this.#time.setAttribute("aria-valuetext", this.#words.textContent);
    this.#name();
  }

  #name() {
    this.#play.textContent = this.#timer === null ? "▶ Play · 播放" : "❚❚ Pause · 暂停";
  }

  #start() {
    if (this.#time.value === this.#time.max) this.#time.value = 0;
    this.#words.setAttribute("aria-live", "off"); // too fast to be read out
    this.#wait();
    this.#move();
  }

  /** Wait as long as it takes to the next moment, on a scale on which all take PLAY_MS. */
  #wait() {
    const moments = this.#moments;
    const place = this.#time.valueAsNumber;
    if (place >= moments.length - 1) {
      this.#stop();
      return;
    }
    const scale = PLAY_MS / moments.at(-1).ms;
    const waitMs = Math.max(LEAST_STEP_MS, scale * (moments[place + 1].ms - moments[place].ms));
    this.#timer = setTimeout(() => {
      this.#time.value = place + 1;
      this.#wait();
      this.#move();
    }, waitMs);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#words.removeAttribute("aria-live");
    this.#name();
  }
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function choice({ choices }) {
  const select = make("select", {});
  select.append(...choices.map((name) => new Option(name, name)));
  return select;
}

function limits({ limits: [min, max] }) {
  return { min, max };
}

export default { render };
