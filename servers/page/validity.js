// What the server takes, and HTML cannot say: a rate is 0, or at least the smallest one.

import { text } from "./i18n.js";

/** Whether the server would take what is in `control`; if not, the visitor is told there. */
export function isValid(control) {
  const { smallest } = control.dataset;
  const isTooSmall = smallest !== undefined && control.valueAsNumber > 0 && control.valueAsNumber < Number(smallest);
  control.setCustomValidity(isTooSmall ? text("invalid.small", { smallest }) : "");
  return control.reportValidity();
}
