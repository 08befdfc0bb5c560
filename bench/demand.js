import { faults, spreadText, text } from "./figures.js";

/** Something that must hold, and what was found. */
export const demand = (what, passed, found) => ({ what, passed, found });

export const atMost = (what, value, limit, digits = 2) => demand(`${what} <= ${limit}`, value <= limit, text(value, digits));

export const atLeast = (what, value, limit) => demand(`${what} >= ${limit}`, value >= limit, text(value, 0));

/** The median of the rounds decides; the spread is shown. */
export const medianAtMost = (what, spread, limit, digits = 2) =>
  demand(`${what} <= ${limit}`, spread.median <= limit, spreadText(spread, digits));

export function nothingLost(what, rows) {
  const found = faults(rows);
  return demand(`${what}: nothing lost, doubled, disordered or refused`, found.length === 0, found.join(", ") || "0");
}
