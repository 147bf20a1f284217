// The style sheet's colours, for what is drawn on a canvas.

const scheme = matchMedia("(prefers-color-scheme: dark)");
let known = new Map();

scheme.addEventListener("change", () => (known = new Map()));

/** The value of the custom property --`name`. */
export function colour(name) {
  if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return known.get(name);
}

/** Call `listener` when the colours have changed. */
export const onSchemeChange = (listener) => scheme.addEventListener("change", listener);
