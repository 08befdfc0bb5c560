/** Median, smallest and largest of a list. */
export function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** The rows of one subject. */
export const of = (rows, subject) => rows.filter((row) => row.subject === subject);

/** A field of one subject over the rounds. */
export const field = (rows, subject, name) => spread(of(rows, subject).map((row) => row[name]));

/** How one subject compares with another in the same round. Rows of different rounds are never compared: the machine changes between them. */
export function ratio(rows, subject, to, name) {
  const pairs = of(rows, subject).map((row) => row[name] / of(rows, to).find(({ round }) => round === row.round)[name]);
  return spread(pairs);
}

export const text = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "-");

/** `median (min - max)` */
export const spreadText = ({ median, min, max }, digits = 2) => `${text(median, digits)} (${text(min, digits)} - ${text(max, digits)})`;

/** Whether every delivery of every round came, once and in order, and every publish was taken. */
export function faults(rows) {
  const found = [];
  for (const row of rows) {
    for (const name of ["lost", "duplicates", "late", "closed", "failed", "refused"]) {
      if (row[name]) found.push(`${row[name]} ${name} in round ${row.round}`);
    }
  }
  return found;
}
