import { EventSource } from "eventsource";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClientReader } from "../support/client-reader.ts";
import { record } from "../support/evidence.ts";
import { FramesReader, PlainReader } from "../support/raw-sse.ts";
import type { Asked, Reader } from "../support/reader.ts";
import { inTime } from "../support/until.ts";
import { type Behind, behind } from "./behind.ts";
import { EventSourceReader } from "./event-source-reader.ts";
import { startNaive } from "./naive.ts";
import { PROXIES } from "./proxies.ts";

/** An event that has not come after so long, while nothing follows it, is held back. */
const HELD_MS = 5_000;
const EVENTS = 50;
const ADDED_MS_MAX = 20;

/** Those who read an event stream: by GET and by POST, and taking gzip, as browsers do, or not. */
const READERS: readonly { readonly name: string; open(asked: Asked): Promise<Reader> }[] = [
  { name: "a raw reader", open: (asked) => new PlainReader(asked).open() },
  { name: "raw frames", open: (asked) => new FramesReader(asked).open() },
  { name: "EventSource", open: (asked) => new EventSourceReader(asked).open() },
  { name: "our client", open: (asked) => new ClientReader(asked, "sse").open() },
];

describe.each(PROXIES)("Behind $name", (proxy) => {
  let stage: Behind;
  beforeAll(async () => {
    stage = await behind(proxy);
  });
  afterAll(() => stage.close());

  test(`[D10] ${EVENTS} events of SSE come at most ${ADDED_MS_MAX} ms later than on the direct path, and none waits for the next`, async () => {
    const startMs = performance.now();
    const { server, asked, keep } = stage;
    const open = (where: Asked) => Promise.all(READERS.map(async (reader) => keep(await reader.open(where))));
    const direct = await open({ ...asked("direct"), url: server.url });
    const proxied = await open(asked("proxied"));
    const delays = { direct: direct.map((): number[] => []), proxied: proxied.map((): number[] => []) };
    for (let n = 1; n <= EVENTS; n++) {
      for (const [path, readers] of Object.entries({ direct, proxied }) as ["direct" | "proxied", Reader[]][]) {
        const began = performance.now();
        const arrived = readers.map(async (reader, index) => {
          const [message] = await reader.next(1, HELD_MS);
          delays[path][index]?.push(performance.now() - began);
          return message?.data;
        });
        await stage.publish(path, 1);
        expect(await Promise.all(arrived)).toEqual(readers.map(() => ({ n })));
      }
    }
    const added = READERS.map(({ name }, index) => [name, median(delays.proxied[index]) - median(delays.direct[index])] as const);
    console.info(`${proxy.name} adds at the median: ${added.map(([name, ms]) => `${name} ${ms.toFixed(2)} ms`).join(", ")}`);
    record("proxy latency", {
      what: `${proxy.name}: ${EVENTS} events, one at a time, to each of ${READERS.length} readers; the median against that of the direct path`,
      injections: EVENTS * READERS.length,
      addedMsMax: Math.round(Math.max(...added.map(([, ms]) => ms)) * 100) / 100,
      control: `the event stream of a tutorial is ${proxy.naive}`,
      seconds: Math.round((performance.now() - startMs) / 1_000),
    });
    for (const [name, ms] of added) expect(ms, name).toBeLessThanOrEqual(ADDED_MS_MAX);
  });

  test("[D10] what is stored comes to a reader at once, though nothing follows it", async () => {
    const { asked, keep } = stage;
    const stored = await stage.publish("quiet", 3);
    for (let round = 0; round < 5; round++) {
      for (const { name, open } of READERS) {
        const reader = keep(await inTime(open(asked("quiet", "start")), () => `the beginning of ${name}`, HELD_MS));
        expect(await reader.next(3, HELD_MS), name).toEqual(stored);
        reader.close();
      }
    }
  });
});

describe.each(PROXIES)("The event stream of a tutorial, behind $name", (proxy) => {
  test(proxy.naive === "passed" ? "comes as it comes" : `is ${proxy.naive}, and the measurement sees it`, async () => {
    const naive = await startNaive();
    const running = await proxy.start(naive.port);
    const source = new EventSource(`${running.url}/events`);
    try {
      await naive.asked();
      const delays: number[] = [];
      while (delays.length < 5 && delays.at(-1) !== HELD_MS) {
        const began = performance.now();
        const arrived = new Promise<number>((resolve) => {
          source.onmessage = () => resolve(performance.now() - began);
          setTimeout(resolve, HELD_MS, HELD_MS);
        });
        naive.say("hello");
        delays.push(await arrived);
      }
      console.info(`${proxy.name}: ${delays.map((ms) => (ms === HELD_MS ? "held" : `${ms.toFixed(1)} ms`)).join(", ")}`);
      if (proxy.naive === "held") expect(delays.at(-1)).toBe(HELD_MS);
      else if (proxy.naive === "late") expect(median(delays)).toBeGreaterThan(100);
      else expect(delays.length).toBeGreaterThan(0);
    } finally {
      source.close();
      await running.stop();
      naive.close();
    }
  });
});

function median(numbers: readonly number[] = []): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
