// Joins the controls, the race, the drawing, the classic clients and the language switch.

import { EventSourceClient, FetchClient } from "./clients.js";
import { onSchemeChange } from "./colours.js";
import { Controls } from "./controls.js";
import { Drawing } from "./drawing.js";
import { applyTexts, currentLanguage, number, setLanguage, text } from "./i18n.js";
import { Race } from "./race.js";

const DEFINED = ["emitted", "delivered", "dropped", "merged", "held", "demand", "unread", "age", "late"];

const start = document.getElementById("start");
const stop = document.getElementById("stop");
const announcement = document.getElementById("announcement");

const controls = new Controls(settingsChanged);
applyTexts();
const race = new Race(document.getElementById("lanes"), laneEnded);
const drawing = new Drawing();
const clients = [EventSourceClient, FetchClient].map((Client) => new Client(document.getElementById("clients")));

function startRace() {
  if (!controls.isValid) return;
  race.start(controls.settings, () => controls.speed);
  announcement.textContent = text("announce.start");
  showButtons();
}

function stopRace() {
  race.stop();
  announcement.textContent = text("announce.stop");
  showButtons();
  start.focus();
}

function settingsChanged() {
  if (race.isRunning) startRace();
  else race.announce(controls.settings);
}

function laneEnded({ variant, view }) {
  const { delivered, dropped } = view.values;
  announcement.textContent = text("announce.end", {
    name: text(`${variant}.name`),
    state: text(`state.${view.state}`),
    delivered: number(delivered),
    dropped: number(dropped),
  });
  showButtons();
}

function showButtons() {
  start.textContent = text(race.isRunning ? "restart" : "start");
  stop.disabled = !race.isRunning;
}

function translate() {
  document.documentElement.lang = currentLanguage();
  applyTexts();
  controls.show();
  race.announce(controls.settings);
  race.translate();
  drawing.translate();
  for (const client of clients) client.translate();
  document.getElementById("definitions").replaceChildren(...DEFINED.map(definition));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", button.dataset.language === currentLanguage());
  }
  showButtons();
}

function definition(name) {
  const pair = document.createElement("div");
  const term = document.createElement("dt");
  const meaning = document.createElement("dd");
  term.textContent = text(name);
  meaning.textContent = text(`define.${name}`);
  pair.append(term, meaning);
  return pair;
}

async function offerSources() {
  const response = await fetch("/v1/models");
  const { data } = await response.json();
  controls.addSources(data.map(({ id }) => id));
}

start.addEventListener("click", startRace);
stop.addEventListener("click", stopRace);
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    setLanguage(button.dataset.language);
    translate();
  });
}
onSchemeChange(() => race.recolour());
translate();
await Promise.all([offerSources(), drawing.draw()]);
document.body.dataset.ready = "";
