import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { seededRandom } from "../support/clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { until } from "../support/until.ts";

/* The tool is tried before what is tried with it. */

let server: Server;
let proxy: FaultProxy;
/** The server's end of each link. */
let ends: Socket[];

beforeEach(async () => {
  ends = [];
  server = createServer((socket) => {
    ends.push(socket.setNoDelay());
    socket.on("error", () => undefined);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await FaultProxy.open((server.address() as { port: number }).port, seededRandom(7).fraction);
});

afterEach(async () => {
  await proxy.close();
  for (const end of ends) end.destroy();
  server.close();
});

/** A client, and what came to it: its pieces, its bytes, and how it ended. */
async function client() {
  const socket = connect({ port: proxy.port, host: "127.0.0.1", noDelay: true });
  const got = { socket, pieces: 0, bytes: Buffer.alloc(0), ending: "" };
  socket.on("data", (bytes) => {
    got.pieces++;
    got.bytes = Buffer.concat([got.bytes, bytes]);
  });
  socket.on("end", () => {
    got.ending ||= "end";
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    got.ending ||= error.code ?? "error";
  });
  const before = ends.length;
  await once(socket, "connect").catch(() => undefined);
  await until("the server has the link", () => ends.length > before || got.ending !== "");
  return { ...proxyView(got), got, end: ends.at(-1) as Socket };
}

function proxyView(got: { bytes: Buffer }) {
  return { has: (length: number) => until(`${length} bytes have come`, () => got.bytes.length >= length) };
}

const BYTES = Buffer.from(Array.from({ length: 3_000 }, (_, index) => index % 251));

test("without faults bytes pass both ways, and an end of one side is an end for the other", async () => {
  const { got, end, has } = await client();
  end.write(BYTES);
  await has(3_000);
  expect(got.bytes.equals(BYTES)).toBe(true);
  got.socket.end("up");
  const [up] = await once(end, "data");
  expect(String(up)).toBe("up");
  end.end();
  await until("it has ended", () => got.ending === "end");
  await until("the link is gone", () => proxy.links.size === 0);
  expect(proxy.counts).toMatchObject({ links: 1, cuts: 0, refused: 0, bytesUp: 2, bytesDown: 3_000 });
});

test("slices arrive as many small pieces, whole and in order", async () => {
  proxy.set({ down: { sliceBytesMax: 7 } });
  const { got, end, has } = await client();
  end.write(BYTES);
  await has(3_000);
  expect(got.bytes.equals(BYTES)).toBe(true);
  expect(got.pieces).toBeGreaterThan(100);
});

test("delay, jitter and bandwidth make bytes late, and keep their order", async () => {
  proxy.set({ down: { delayMs: 60, jitterMs: 20 } });
  const { got, end, has } = await client();
  const began = performance.now();
  for (let at = 0; at < 3_000; at += 300) end.write(BYTES.subarray(at, at + 300));
  await has(3_000);
  expect(performance.now() - began).toBeGreaterThan(58);
  expect(got.bytes.equals(BYTES)).toBe(true);
  proxy.heal();
  proxy.set({ down: { bytesPerSecond: 20_000 } });
  const again = performance.now();
  end.write(BYTES);
  await has(6_000);
  expect(performance.now() - again).toBeGreaterThan(140);
});

test.each(["reset", "end"] as const)("a link is cut by %s after exactly so many bytes", async (how) => {
  proxy.how = how;
  proxy.set({ down: { cutAfterBytes: 1_234, sliceBytesMax: 50 } });
  const { got, end } = await client();
  end.write(BYTES);
  await until("it has ended", () => got.ending !== "");
  expect([got.bytes.equals(BYTES.subarray(0, 1_234)), proxy.counts.cuts, proxy.counts.bytesDown]).toEqual([true, 1, 1_234]);
  await until("the server's end is gone too", () => end.destroyed || end.readableEnded || end.errored !== null);

  // Told apart where nothing is left to be read: Linux makes an end of a reset behind bytes
  proxy.heal();
  const other = await client();
  expect(proxy.cut(how)).toBe(1);
  await until("it has ended", () => other.got.ending !== "");
  expect(other.got.ending).toBe(how === "end" ? "end" : "ECONNRESET");
});

test("what is held comes when it is released; a hole gives nothing back, and hides that an end has closed", async () => {
  const { got, end, has } = await client();
  proxy.set({ down: { flow: "held" } });
  end.write(BYTES);
  proxy.set({ up: { flow: "held" } });
  got.socket.write("up");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([got.bytes.length, end.bytesRead]).toEqual([0, 0]);
  proxy.heal();
  await has(3_000);
  await until("what went up is there", () => end.bytesRead === 2);
  proxy.set({ up: { flow: "hole" } });
  let closed = false;
  end.on("close", () => {
    closed = true;
  });
  got.socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  proxy.heal();
  expect([closed, end.bytesRead]).toEqual([false, 2]);
});

test("refuses new links while it is told to, and a link may have faults of its own", async () => {
  proxy.refusing = true;
  expect((await client()).got.ending).toBe("ECONNRESET");
  proxy.heal();
  proxy.onLink = (link) => link.set({ down: { cutAfterBytes: 10 } });
  const { got, end } = await client();
  end.write(BYTES);
  await until("it is cut", () => got.ending !== "");
  expect([proxy.counts.refused, proxy.counts.cuts]).toEqual([1, 1]);
});
