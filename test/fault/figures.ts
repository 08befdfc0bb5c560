import type { HistoryEvent } from "../check/history.ts";

/** Milliseconds from asking to `stored`, of each publish so far. */
export function latencies(history: readonly HistoryEvent[]): number[] {
  const asked = new Map<string, number>();
  const waits: number[] = [];
  for (const event of history) {
    if (event.type === "publish") asked.set(`${event.pid} ${event.seq}`, event.t);
    else if (event.type === "stored") waits.push(event.t - (asked.get(`${event.pid} ${event.seq}`) ?? Number.NaN));
  }
  return waits;
}

/** Milliseconds from asking to the application's callback, of each message of the readers whose names begin so, told after `sinceT`. */
export function deliveries(history: readonly HistoryEvent[], readers: string, sinceT = 0): number[] {
  const asked = new Map<string, number>();
  for (const event of history) if (event.type === "publish") asked.set(event.hash, event.t);
  const told = history.filter((event) => event.type === "message" && event.cid.startsWith(readers) && event.t >= sinceT);
  return told.map((event) => event.t - (asked.get(event.type === "message" ? event.hash : "") ?? Number.NaN));
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}

/** What a value grows by in each unit of `x`: the line with the least squares. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [middle, height] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [x]) => sum + (x - middle) ** 2, 0);
  return spread === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - middle) * (y - height), 0) / spread;
}
