import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SAMPLE, type Sample } from "./sample.ts";

/*
 * Loaded into the real server before it starts (`node --import`): at SIGUSR2 it says how much it holds, and at SIGWINCH it keeps the event
 * loop for two seconds, as an application's own code may; or it takes memory without end, if THROUGHLINE_PROBE says `eat`.
 */
const STALL_MS = 2_000;
const BITE_BYTES = 1_048_576;
const eaten: Buffer[] = [];

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

process.on("SIGUSR2", () => {
  collect();
  const { heapUsed, rss } = process.memoryUsage();
  const sample: Sample = {
    heapBytes: heapUsed,
    rssBytes: rss,
    descriptors: readdirSync("/proc/self/fd").length,
    handles: process.getActiveResourcesInfo().length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
  console.error(`${SAMPLE}${JSON.stringify(sample)}`);
});

process.on("SIGWINCH", () => {
  if (process.env["THROUGHLINE_PROBE"] === "eat") {
    setInterval(() => eaten.push(Buffer.alloc(BITE_BYTES, 1)), 5);
    return;
  }
  const end = performance.now() + STALL_MS;
  while (performance.now() < end) {}
});
