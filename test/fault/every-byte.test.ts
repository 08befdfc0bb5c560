import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readFrames } from "../../src/client/event-stream.ts";
import type { WebSocketClass } from "../../src/client/system.ts";
import { type ConnectOptions, connect } from "../../src/client.ts";
import { memory } from "../../src/index.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { PlainReader } from "../support/raw-sse.ts";
import { type Recording, recordEvents, recordSocket } from "../support/recording.ts";
import { cutNetwork } from "../support/scripted-network.ts";
import { startServer, type TestServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

/* Row N7, to the byte: a stream of 64 kB is cut after each of its bytes. */

/** How many of the cuts are made live; `THROUGHLINE_LIVE_CUTS=500` for a night. */
const LIVE = Number(process.env["THROUGHLINE_LIVE_CUTS"] ?? 60);
const STREAM_BYTES = 65_536;
const CHANNEL = "faults/bytes";
const SEED = 20_261_125;
const WORDS = ["plain ", "žluťoučký kůň ", "🐎 ", '"quoted" ', "two\nlines ", "\\ "];

/** Offline, each client stands a message or two before the cut; so many bytes apart, and with `THROUGHLINE_EVERY_BYTE=whole` all of them, read from the beginning. */
const WHOLE_EVERY = process.env["THROUGHLINE_EVERY_BYTE"] === "whole" ? 1 : 257;

let server: TestServer;
/** By offset, from 1 on. */
const positions: string[] = [""];
const texts: string[] = [""];
const recordings = new Map<string, Recording>();

beforeAll(async () => {
  server = await startServer(() => memory());
  const random = seededRandom(SEED);
  for (let bytes = 0; bytes < STREAM_BYTES; ) {
    let text = "";
    const length = Math.floor(random.fraction() ** 3 * 3_000);
    while (text.length < length) text += WORDS[Math.floor(random.fraction() * WORDS.length)];
    texts.push(text);
    bytes += positions.length === 1 ? 0 : Buffer.byteLength(JSON.stringify(text));
    positions.push((await server.tl.channel(CHANNEL).publish(text)).position);
  }
  const from = `after:${positions[1]}`;
  recordings.set("sse", await recordEvents(server.url, CHANNEL, from, top()));
  recordings.set("websocket", await recordSocket(server.url, CHANNEL, from, top()));
});

afterAll(() => server.dispose());

const top = (): number => texts.length - 1;

/** What clients were handed, against what there is. */
class Count {
  delivered = 0;
  lost = 0;
  twice = 0;
  disordered = 0;
  broken = 0;

  /** Offsets in the order in which a client was handed them, which should be `first` to `last`. */
  add(offsets: readonly number[], first: number, last: number): void {
    const seen = new Set(offsets);
    this.delivered += offsets.length;
    this.lost += last + 1 - first - seen.size;
    this.twice += offsets.length - seen.size;
    for (let index = 1; index < offsets.length; index++) {
      if ((offsets[index] as number) < (offsets[index - 1] as number)) this.disordered++;
    }
  }
}

describe.each(["sse", "websocket"] as const)("A stream over %s", (transport) => {
  const recordingOf = (): Recording => recordings.get(transport) as Recording;

  test("[D2] cut after each byte of 64 kB, and asked for again: every message comes once, whole, in order", {
    timeout: 180_000,
  }, async () => {
    const began = performance.now();
    const recording = recordingOf();
    const { marks, bytes } = recording;
    expect(bytes.length).toBeGreaterThan(STREAM_BYTES);
    const count = new Count();
    let at = 0;
    // Each cut makes errors whose stacks nobody reads, at a third of the cost
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    for (let cutBytes = 1; cutBytes <= STREAM_BYTES; cutBytes++) {
      while ((marks[at]?.endByte as number) < cutBytes) at++;
      const isWhole = at < 2 || cutBytes % WHOLE_EVERY === 0;
      const first = isWhole ? 2 : (marks[at - 1]?.offset as number);
      const last = isWhole ? top() : Math.min(at + 3, top());
      const { options, done } = cutNetwork(recording, cutBytes, marks[last - 2]?.endByte);
      const client = connect("http://nowhere", { ...options, transport });
      client.on("error", () => undefined);
      const offsets: number[] = [];
      client.channel<string>(CHANNEL).subscribe(
        ({ offset, data }) => {
          offsets.push(offset);
          if (data !== texts[offset]) count.broken++;
        },
        { from: { after: positions[first - 1] as string } },
      );
      await done;
      client.close();
      // What a turn of the event loop has looked at by a WeakRef lives as long as the turn: without this, all clients do
      if (cutBytes % 32 === 0) await new Promise((resolve) => setImmediate(resolve));
      count.add(offsets, first, last);
    }
    Error.stackTraceLimit = stackTraceLimit;
    const seconds = Math.round((performance.now() - began) / 1_000);
    const control = await comeBackBlindly(transport, recording);
    const what = `a recorded stream over ${transport} cut after each of its first 65,536 bytes, then asked for at the client's position (offline)`;
    record(`N7 every byte ${transport}`, {
      what,
      injections: STREAM_BYTES,
      ...count,
      control: `${control} lost in ${BLIND} cuts by a client that comes back without a position`,
      seconds,
    });
    expect({ ...count, delivered: 0 }).toEqual({ delivered: 0, lost: 0, twice: 0, disordered: 0, broken: 0 });
    expect(control, "the test can see a loss").toBeGreaterThan(BLIND / 2);
  });

  test(`[D2] ${LIVE} of the cuts made to a live stream: every message comes once, whole, in order`, {
    timeout: 20_000 + LIVE * 500,
  }, async () => {
    const began = performance.now();
    const proxy = await FaultProxy.open(Number(new URL(server.url).port));
    const count = new Count();
    try {
      for (let round = 0; round < LIVE; round++) {
        const cutBytes = 1 + Math.floor(((round + 0.5) * STREAM_BYTES) / LIVE);
        proxy.how = round % 2 === 0 ? "reset" : "end";
        // The head of the answer is cut by the first of them; only the first pipe is cut
        let isFirst = true;
        proxy.onLink = (link) => {
          if (isFirst) link.set({ down: { cutAfterBytes: cutBytes } });
          isFirst = false;
        };
        const client = connect(proxy.url, { transport, limits: { backoffMsMin: 1, backoffMsMax: 5 } });
        client.on("error", () => undefined);
        const offsets: number[] = [];
        client.channel<string>(CHANNEL).subscribe(
          ({ offset, data }) => {
            offsets.push(offset);
            if (data !== texts[offset]) count.broken++;
          },
          { from: { after: positions[1] as string } },
        );
        await until(`all has come that was cut at ${cutBytes}`, () => offsets.at(-1) === top());
        client.close();
        count.add(offsets, 2, top());
      }
    } finally {
      await proxy.close();
    }
    const seconds = Math.round((performance.now() - began) / 1_000);
    const what = `a live stream over ${transport} cut at a byte of its 65,536, by RST and FIN in turn`;
    const control = await comeBackLive(transport);
    const told = `${control} lost in ${BLIND_LIVE} cuts by a bare reader that comes back without a position`;
    record(`N7 live ${transport}`, { what, injections: proxy.counts.cuts, ...count, control: told, seconds });
    expect(count).toEqual({ delivered: LIVE * (top() - 1), lost: 0, twice: 0, disordered: 0, broken: 0 });
    expect(proxy.counts.cuts).toBeGreaterThanOrEqual(LIVE);
    expect(control, "the test can see a loss").toBeGreaterThanOrEqual(BLIND_LIVE);
  });
});

const BLIND = 1_024;

/** The negative control: a client with the same parser, which comes back without a position. How many messages it loses. */
async function comeBackBlindly(transport: "sse" | "websocket", recording: Recording): Promise<number> {
  let lost = 0;
  for (let cut = 1; cut <= BLIND; cut++) {
    const { options, done } = cutNetwork(recording, (cut * STREAM_BYTES) / BLIND);
    const seen = new Set<number>();
    const take: Take = ({ type, id }) => type === undefined && seen.add(Number.parseInt(String(id), 10));
    const ask = (pipe: number) => ({ name: CHANNEL, channel: CHANNEL, id: pipe, from: pipe === 1 ? recording.from : "now" });
    const read = transport === "sse" ? readStream : readSocket;
    void read(options, ask(1), take).then(() => read(options, ask(2), take));
    await done;
    lost += top() - 1 - seen.size;
  }
  return lost;
}

const BLIND_LIVE = 10;

/** The same of a live stream: what is lost by a bare reader that comes back to what is there then, which is nothing more. */
async function comeBackLive(transport: "sse" | "websocket"): Promise<number> {
  const proxy = await FaultProxy.open(Number(new URL(server.url).port));
  let lost = 0;
  try {
    for (let cut = 1; cut <= BLIND_LIVE; cut++) {
      proxy.onLink = (link) => link.set({ down: { cutAfterBytes: Math.floor((cut * STREAM_BYTES) / (BLIND_LIVE + 1)) } });
      const asked = { url: proxy.url, channels: [{ name: CHANNEL, from: `after:${positions[1]}` }] };
      const reader = await (transport === "sse" ? new PlainReader(asked) : new SocketReader(asked)).open();
      await reader.ended();
      lost += top() - 1 - reader.inbox.waiting;
    }
  } finally {
    await proxy.close();
  }
  return lost;
}

type Take = (frame: { readonly type?: string | undefined; readonly id?: unknown }) => unknown;

/** Resolves when it is cut. */
async function readStream({ fetch }: ConnectOptions, ask: object, take: Take): Promise<void> {
  const response = await fetch?.("http://nowhere", { body: JSON.stringify({ channels: [ask] }) });
  const reader = response?.body?.getReader();
  const push = readFrames((frame) => take(frame as never));
  try {
    for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) push(read.value);
  } catch {
    // Reset
  }
}

function readSocket({ WebSocket: Socket }: ConnectOptions, ask: object, take: Take): Promise<void> {
  return new Promise((resolve) => {
    const socket = new (Socket as WebSocketClass)("ws://nowhere", []);
    socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", ...ask }));
    socket.onmessage = ({ data }: MessageEvent<string>) => take(JSON.parse(data));
    socket.onclose = () => resolve();
  });
}
