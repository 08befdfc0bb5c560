import type { Client } from "../../client/connect.ts";
import type { MachineSample } from "../machine.ts";
import { everyFrame } from "./canvas.ts";
import { find, setText } from "./element.ts";
import { bytes, percent, timeOfDay } from "./format.ts";
import { createPlot, type PlotOptions, type Point, SIGHT_MS } from "./plot.ts";

const CHANNEL = "machine/stats";
/** A minute more than is in sight. */
const SAMPLES_MAX = SIGHT_MS / 1_000 + 60;
/** The line ends this far in the past, so that a new point glides in instead of jumping. */
const BEHIND_MS = 1_100;
const NETWORK_SCALE_MIN = 10_000;

const PLOTS: readonly (PlotOptions & { values(sample: MachineSample): (number | null)[] })[] = [
  {
    title: "Processor",
    values: ({ cpu }) => [cpu.total, ...cpu.cores],
    series: (count) => [
      { color: "plot", width: 1.75, alpha: 1, filled: true },
      ...Array.from({ length: Math.max(count - 1, 0) }, () => ({ color: "plot", width: 1, alpha: 0.22 })),
    ],
    top: () => 1,
    axis: (value) => `${value * 100} %`,
    reading: ({ values }) => `${percent(values[0] ?? 0)} of ${values.length - 1} ${values.length === 2 ? "core" : "cores"}`,
  },
  {
    title: "Memory",
    values: ({ memory }) => [memory.used, memory.total],
    series: () => [{ color: "plot", width: 1.75, alpha: 1, filled: true }],
    top: (largest) => largest || 1,
    axis: (value) => bytes(value, 1_024),
    reading: ({ values }) => `${bytes(values[0] ?? 0, 1_024)} of ${bytes(values[1] ?? 0, 1_024)}`,
  },
  {
    title: "Network",
    values: ({ network }) => (network === null ? [null, null] : [network.received, network.sent]),
    series: () => [
      { color: "plot", width: 1.75, alpha: 1, filled: true },
      { color: "plot", width: 1.5, alpha: 0.8, dash: [2, 3] },
    ],
    top: (largest) => niceTop(Math.max(largest, NETWORK_SCALE_MIN)),
    axis: (value) => `${bytes(value)}/s`,
    reading: ({ values: [received, sent] }) =>
      received === null || received === undefined ? "not told by this system" : `↓ ${bytes(received)}/s   ↑ ${bytes(sent ?? 0)}/s`,
  },
];

/** Shows how the machine that runs the server fares, as the server tells in a channel like any other. */
export function showMachine(client: Client): void {
  const samples: { readonly atMs: number; readonly sample: MachineSample }[] = [];
  /** How far the server's clock is ahead of this one, as the quickest message shows it. */
  let aheadMs = Number.NEGATIVE_INFINITY;
  let hoverMs: number | null = null;
  const plots = PLOTS.map((options) => ({
    ...options,
    plot: createPlot(options, (atMs) => {
      hoverMs = atMs;
    }),
  }));
  find("plots").append(...plots.map(({ plot }) => plot.element));

  client.channel<MachineSample>(CHANNEL).subscribe(
    ({ data, at }) => {
      aheadMs = Math.max(aheadMs, at - Date.now());
      samples.push({ atMs: at, sample: data });
      if (samples.length > SAMPLES_MAX) samples.shift();
    },
    { event: "sample", from: { last: SAMPLES_MAX } },
  );

  const when = find("machine-when");
  everyFrame(() => {
    const nowMs = Date.now() + (Number.isFinite(aheadMs) ? aheadMs : 0) - BEHIND_MS;
    for (const { plot, values } of plots) {
      const points: Point[] = samples.map(({ atMs, sample }) => ({ atMs, values: values(sample) }));
      plot.draw(points, nowMs, hoverMs);
    }
    setText(when, hoverMs === null ? "machine/stats, once a second" : `at ${timeOfDay(hoverMs)}`);
  });
}

/** The next of 1, 2, 5, 10… */
function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}
