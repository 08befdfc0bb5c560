import { createSurface } from "./canvas.ts";
import { make, setText } from "./element.ts";

export interface Point {
  readonly atMs: number;
  /** One for each series of the plot; null where nothing is known. */
  readonly values: readonly (number | null)[];
}

export interface Series {
  /** The name of a colour of the stylesheet. */
  readonly color: string;
  readonly width: number;
  readonly alpha: number;
  readonly filled?: boolean;
  readonly dash?: readonly number[];
}

export interface PlotOptions {
  readonly title: string;
  readonly series: (count: number) => readonly Series[];
  /** The top of the scale for the largest value in sight. */
  readonly top: (largest: number) => number;
  readonly axis: (value: number) => string;
  /** The reading beside the title. */
  readonly reading: (point: Point) => string;
}

export interface Plot {
  readonly element: HTMLElement;
  /** `hoverMs`: the time that the pointer is at, or null. */
  draw(points: readonly Point[], nowMs: number, hoverMs: number | null): void;
}

/** How much time is in sight, and how long a second without a sample makes a hole in the line. */
export const SIGHT_MS = 120_000;
const HOLE_MS = 2_600;
/** Room at the right for the dot, at the top and bottom for the line's width. */
const PAD = { top: 6, right: 6, bottom: 4 };
/** How fast the scale follows what is in sight, per frame. */
const EASE = 0.25;

/** One figure: a title, the value now or under the pointer, and a line that glides to the left. */
export function createPlot({ title, series, top, axis, reading }: PlotOptions, onHover: (atMs: number | null) => void): Plot {
  const element = make("figure", "plot");
  const head = make("figcaption");
  const value = make("span", "value", "–");
  head.append(make("span", "title", title), value);
  const surface = createSurface("chart");
  surface.element.setAttribute("role", "img");
  element.append(head, surface.element);
  let scale = 0;
  let endMs = 0;

  surface.element.addEventListener("pointermove", ({ offsetX }) => {
    const width = surface.element.clientWidth - PAD.right;
    onHover(endMs - (1 - Math.min(offsetX / width, 1)) * SIGHT_MS);
  });
  for (const name of ["pointerleave", "pointercancel"] as const) surface.element.addEventListener(name, () => onHover(null));

  return {
    element,
    draw(points, nowMs, hoverMs) {
      endMs = nowMs;
      const seen = points.filter(({ atMs }) => atMs > nowMs - SIGHT_MS - HOLE_MS);
      const aimed = top(Math.max(0, ...seen.flatMap(({ values }) => values.map((each) => each ?? 0))));
      scale = scale === 0 || Math.abs(aimed - scale) < aimed / 200 ? aimed : scale + (aimed - scale) * EASE;
      const shown = hoverMs === null ? points.at(-1) : nearest(seen, hoverMs);
      setText(value, shown === undefined ? "–" : reading(shown));
      surface.element.setAttribute("aria-label", `${title}, the last two minutes. ${value.textContent}`);
      surface.draw((context, width, height, color) => {
        const right = width - PAD.right;
        const low = height - PAD.bottom;
        const x = (atMs: number): number => right - ((nowMs - atMs) / SIGHT_MS) * right;
        const y = (amount: number): number => low - (Math.min(amount, scale) / scale) * (low - PAD.top);
        const marks = [scale, scale / 2, 0];
        context.fillStyle = color("line");
        for (const mark of marks) context.fillRect(0, Math.round(y(mark)), width, 1);
        const count = seen.at(-1)?.values.length ?? 0;
        for (const [index, one] of series(count).entries()) {
          context.globalAlpha = one.alpha;
          context.strokeStyle = context.fillStyle = color(one.color);
          context.lineWidth = one.width;
          context.lineJoin = "round";
          context.setLineDash([...(one.dash ?? [])]);
          const runs = runsOf(seen, index);
          context.save();
          context.beginPath();
          context.rect(0, 0, right, height);
          context.clip();
          for (const run of runs) paintRun(context, run, x, y, one, low);
          context.restore();
          if (one.width < 1.5) continue;
          const dot = dotAt(runs, hoverMs === null ? nowMs : (shown?.atMs ?? nowMs));
          if (dot === null) continue;
          context.globalAlpha = 1;
          context.beginPath();
          context.arc(x(dot.atMs), y(dot.value), 3, 0, 2 * Math.PI);
          context.fill();
        }
        context.globalAlpha = 1;
        for (const mark of marks.slice(0, 2)) paintLabel(context, axis(mark), Math.round(y(mark)) + 3, color);
        if (hoverMs === null || shown === undefined) return;
        context.fillStyle = color("soft");
        context.fillRect(Math.round(x(shown.atMs)) - 0.5, 0, 1, height);
      });
    },
  };
}

function nearest(points: readonly Point[], atMs: number): Point | undefined {
  let best: Point | undefined;
  for (const point of points) {
    if (best === undefined || Math.abs(point.atMs - atMs) < Math.abs(best.atMs - atMs)) best = point;
  }
  return best;
}

interface Dot {
  readonly atMs: number;
  readonly value: number;
}

/** The unbroken pieces of a line: where a second was not measured, nothing is drawn. */
function runsOf(points: readonly Point[], index: number): Dot[][] {
  const runs: Dot[][] = [];
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const { atMs, values } of points) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    if (atMs - lastMs > HOLE_MS) runs.push([]);
    runs.at(-1)!.push({ atMs, value });
    lastMs = atMs;
  }
  return runs;
}

/** The point of the line at a time: where the line ends, while it glides in. */
function dotAt(runs: readonly Dot[][], atMs: number): Dot | null {
  for (const run of runs) {
    for (const [index, dot] of run.entries()) {
      const before = run[index - 1];
      if (dot.atMs === atMs || (index === run.length - 1 && dot.atMs < atMs && atMs - dot.atMs < HOLE_MS)) return dot;
      if (before !== undefined && before.atMs < atMs && atMs < dot.atMs) {
        const share = curveAt((atMs - before.atMs) / (dot.atMs - before.atMs));
        return { atMs, value: before.value + (dot.value - before.value) * share };
      }
    }
  }
  return null;
}

/** How high the curve of `paintRun` stands between two points, at a share of the way between them. */
function curveAt(way: number): number {
  let low = 0;
  let high = 1;
  for (let step = 0; step < 12; step++) {
    const t = (low + high) / 2;
    if (1.5 * t * (1 - t) + t ** 3 < way) low = t;
    else high = t;
  }
  return 3 * low ** 2 - 2 * low ** 3;
}

function paintRun(
  context: CanvasRenderingContext2D,
  run: readonly Dot[],
  x: (atMs: number) => number,
  y: (value: number) => number,
  { alpha, filled = false }: Series,
  low: number,
): void {
  context.beginPath();
  for (const [index, { atMs, value }] of run.entries()) {
    const before = run[index - 1];
    if (before === undefined) context.moveTo(x(atMs), y(value));
    else {
      // Flat at both ends: smooth, and never beyond what was measured
      const middle = (x(before.atMs) + x(atMs)) / 2;
      context.bezierCurveTo(middle, y(before.value), middle, y(value), x(atMs), y(value));
    }
  }
  context.stroke();
  if (!filled) return;
  context.lineTo(x(run.at(-1)!.atMs), low);
  context.lineTo(x(run[0]!.atMs), low);
  context.globalAlpha = alpha * 0.1;
  context.fill();
  context.globalAlpha = alpha;
}

/** Above the line, with a rim of paper, so that it can be read wherever the line runs. */
function paintLabel(context: CanvasRenderingContext2D, text: string, top: number, color: (name: string) => string): void {
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = color("paper");
  context.fillStyle = color("soft");
  context.strokeText(text, 0, top);
  context.fillText(text, 0, top);
}
