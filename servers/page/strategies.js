// Which strategy each variant can take, the nearest one for those that it cannot, and what goes with which.

export const VARIANTS = ["emitter", "rx", "flux"];
export const STRATEGIES = ["missing", "error", "drop", "latest", "buffer", "reduce", "suspend"];
export const WITH_CAPACITY = ["buffer", "suspend"];

/**
 * What `variant` runs when `chosen` is asked for.
 *
 * @param {string} variant
 * @param {{strategy: string, capacity: string, overflow: string}} chosen
 * @returns {{parameters: Record<string, string>, note: string}} query parameters, and the key of a text about them
 */
export function resolve(variant, chosen) {
  const { strategy, capacity, overflow } = chosen;
  if (variant === "emitter") {
    if (strategy !== "suspend") return { parameters: { strategy: "suspend" }, note: "note.emitter" };
    return { parameters: { strategy }, note: capacity === "0" ? "note.same" : "note.capacity" };
  }
  const suspends = strategy === "suspend" || (strategy === "buffer" && overflow === "suspend");
  if (variant === "rx" && suspends) return { parameters: { strategy: "reduce" }, note: "note.rx" };
  const parameters = { strategy };
  if (WITH_CAPACITY.includes(strategy)) parameters.capacity = capacity;
  if (strategy === "buffer") parameters.overflow = overflow;
  return { parameters, note: "note.same" };
}

/** Hide an option that cannot be taken, and leave it if it is chosen. */
export function offer(select, value, possible) {
  const option = [...select.options].find((candidate) => candidate.value === value);
  option.hidden = option.disabled = !possible;
  if (option.selected && !possible) {
    select.value = ([...select.options].find((candidate) => candidate.defaultSelected) ?? select.options[0]).value;
  }
}

/** Which of the tokens that have not come yet are held: "all" (in one), the "newest", or the "oldest". */
export function heldOnes({ strategy, overflow }) {
  if (strategy === "reduce") return "all";
  return strategy === "latest" || overflow === "drop_oldest" ? "newest" : "oldest";
}
