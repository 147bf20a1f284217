// What the page does once it is there: draws its charts, and draws them again when colours, width or medium change.

const PRINT_ENLARGED = 2.5; // as `zoom` in the style sheet undoes it
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
let views = [];

/** The plots of each view of each chart, by the element that shows it. */
function readViews() {
  for (const section of document.querySelectorAll("[data-chart]")) {
    const chart = data[section.dataset.chart];
    for (const element of section.querySelectorAll("[data-view]")) {
      const { panels } = chart.views[Number(element.dataset.view)];
      const range = ranges(chart, panels);
      const places = element.querySelectorAll(".plot");
      views.push({ element, plots: panels.map((panel, index) => new Plot(places[index], chart, panel, range)) });
    }
    section.querySelector("select")?.addEventListener("change", (event) => choose(section, event.target.value));
  }
}

function choose(section, index) {
  for (const element of section.querySelectorAll("[data-view]")) element.hidden = element.dataset.view !== index;
  draw((view) => section.contains(view.element));
}

function draw(wanted = () => true) {
  const enlarged = "print" in root.dataset ? PRINT_ENLARGED : 1;
  for (const { element, plots } of views) {
    if (!element.hidden && wanted({ element })) plots.forEach((plot) => plot.draw(enlarged));
  }
}

let unfolded = [];

/** Open all folds that paper has room for, or close those again that were opened. */
function unfold(printing) {
  for (const fold of unfolded) fold.open = false;
  unfolded = printing ? [...document.querySelectorAll("details.more:not([open])")] : [];
  for (const fold of unfolded) fold.open = true;
}

/** Draw for paper, or for the screen again. */
function setPrinting(printing) {
  if (printing === "print" in root.dataset) return;
  root.toggleAttribute("data-print", printing);
  unfold(printing);
  draw();
}

let width = 0;
let waiting = 0;
new ResizeObserver(([entry]) => {
  if (entry.contentRect.width === width || "print" in root.dataset) return;
  width = entry.contentRect.width;
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(() => draw());
}).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
matchMedia("print").addEventListener("change", (event) => setPrinting(event.matches));
addEventListener("beforeprint", () => setPrinting(true));
addEventListener("afterprint", () => setPrinting(false));

for (const fold of document.querySelectorAll("details.more")) {
  fold.addEventListener("toggle", () => draw(({ element }) => fold.contains(element)));
}

makeSortable();
readViews();
draw();
document.body.dataset.ready = "";
