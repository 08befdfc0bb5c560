export const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format;

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Three digits, more or less: `1.24 MB`, `312 kB`. */
export function bytes(value: number, step = 1_000): string {
  let left = value;
  let unit = 0;
  while (left >= step && unit < UNITS.length - 1) {
    left /= step;
    unit++;
  }
  return `${left.toFixed(unit === 0 || left >= 100 ? 0 : left >= 10 ? 1 : 2)} ${UNITS[unit]}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function timeOfDay(ms: number): string {
  return clock.format(ms);
}

/** A message's data on one line. */
export function oneLine(data: unknown): string {
  if (data instanceof Uint8Array) return `${count(data.length)} bytes`;
  return typeof data === "string" ? data : JSON.stringify(data);
}
