import type { Transport } from "../../client/options.ts";
import { createSurface } from "./canvas.ts";

/** The last minute of one reader as a line: coloured by what carried it, dashed where nothing did, with what arrived above it. */
export interface Lane {
  readonly element: HTMLCanvasElement;
  arrived(): void;
  carriedBy(transport: Transport | null): void;
  draw(): void;
}

const SIGHT_MS = 60_000;
const BIN_MS = 250;
const BINS = SIGHT_MS / BIN_MS + 2;
/** So many messages in a quarter of a second reach the top. */
const FULL = 1_000;

export function createLane(): Lane {
  const surface = createSurface("lane");
  surface.element.setAttribute("aria-hidden", "true");
  const bins = new Float64Array(BINS);
  let newestBin = binAt(performance.now());
  /** What carried it, since when. */
  let spans: { readonly sinceMs: number; readonly transport: Transport | null }[] = [{ sinceMs: performance.now(), transport: null }];

  function advance(nowMs: number): void {
    const bin = binAt(nowMs);
    for (let next = Math.max(newestBin + 1, bin - BINS + 1); next <= bin; next++) bins[next % BINS] = 0;
    newestBin = bin;
  }

  return {
    element: surface.element,
    arrived() {
      advance(performance.now());
      bins[newestBin % BINS]! += 1;
    },
    carriedBy(transport) {
      if (spans.at(-1)?.transport !== transport) spans.push({ sinceMs: performance.now(), transport });
    },
    draw() {
      const nowMs = performance.now();
      advance(nowMs);
      const firstSeen = spans.findLastIndex(({ sinceMs }) => sinceMs <= nowMs - SIGHT_MS);
      spans = spans.slice(Math.max(firstSeen, 0));
      surface.draw((context, width, height, color) => {
        const line = height - 7.5;
        const right = width - 6;
        const x = (atMs: number): number => right - ((nowMs - atMs) / SIGHT_MS) * right;
        context.fillStyle = color("line");
        context.fillRect(0, Math.round(line), right, 1);
        context.fillStyle = color("soft");
        context.fillText("last minute", 0, 2);
        for (let bin = Math.max(newestBin - BINS + 1, 0); bin <= newestBin; bin++) {
          const count = bins[bin % BINS]!;
          if (count === 0) continue;
          const tall = (Math.log1p(count) / Math.log1p(FULL)) * (line - 8);
          const carrier = spans.findLast(({ sinceMs, transport }) => sinceMs <= (bin + 1) * BIN_MS && transport !== null)?.transport;
          context.fillStyle = color(carrier ?? "soft");
          context.globalAlpha = 0.45;
          context.fillRect(x((bin + 0.5) * BIN_MS) - 1, line - 4 - tall, 2, tall);
        }
        context.globalAlpha = 1;
        context.lineWidth = 2;
        context.lineCap = "butt";
        for (const [index, { sinceMs, transport }] of spans.entries()) {
          const from = Math.max(x(sinceMs), 0);
          const to = index + 1 < spans.length ? x(spans[index + 1]!.sinceMs) : right;
          context.strokeStyle = color(transport ?? "faint");
          context.setLineDash(transport === null ? [2, 4] : []);
          context.beginPath();
          context.moveTo(from, line);
          context.lineTo(to, line);
          context.stroke();
        }
        context.setLineDash([]);
        for (const { sinceMs, transport } of spans) {
          if (transport === null || x(sinceMs) < 4) continue;
          paintKnot(context, x(sinceMs), line, color(transport), color("raised"));
        }
        paintKnot(context, right, line, color(spans.at(-1)?.transport ?? "faint"), color("raised"));
      });
    },
  };
}

/** Where a pipe took over. */
function paintKnot(context: CanvasRenderingContext2D, x: number, y: number, color: string, inner: string): void {
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fillStyle = inner;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = color;
  context.stroke();
}

function binAt(ms: number): number {
  return Math.floor(ms / BIN_MS);
}
