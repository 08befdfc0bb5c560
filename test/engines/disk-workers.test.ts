import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { chownSync, cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { connect } from "../../src/client.ts";
import { draft } from "../../src/conformance/log-story.ts";
import type { Draft, Log, LogContext, Notice, Retention, Told } from "../../src/core/log.ts";
import { disk, diskOwner, diskWorker } from "../../src/disk.ts";
import {
  type Answer,
  type Ask,
  DISPATCH_VERSION,
  FrameReader,
  join as joined,
  split,
  writeFrame,
} from "../../src/engines/disk/dispatch.ts";
import { Link } from "../../src/engines/disk/link.ts";
import { makePlace, placeOf } from "../../src/engines/disk/place.ts";
import { handClock } from "../support/clock.ts";
import { demand } from "../support/http.ts";
import { Guest } from "../support/presence.ts";
import { startServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

/* Processes of one machine on one directory: here the owner and its workers are logs of one process, each with its end of a real socket. */

/** On a busy machine nobody is to be taken for dead here. */
const PATIENT = { limits: { heartbeatSeconds: 10 } };

let directory: string;
const opened = new Set<Log>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "throughline-workers-"));
});

afterEach(async () => {
  vi.useRealTimers();
  // Workers first
  for (const log of [...opened].reverse()) await log.close();
  opened.clear();
  rmSync(directory, { recursive: true, force: true });
});

const warnings: string[] = [];

function contextOf(own: Partial<LogContext> = {}): LogContext {
  return {
    ...{ clock: systemClock, random: systemRandom, retain: (_channel, given: Retention) => given },
    ...{ keysMax: 1_000, keySecondsMin: 86_400, lineageMax: 32, warn: (sentence: string) => warnings.push(sentence) },
    ...own,
  };
}

async function open(log: Log, own: Partial<LogContext> = {}): Promise<Log> {
  await log.open(contextOf(own));
  opened.add(log);
  return log;
}

async function close(log: Log): Promise<void> {
  opened.delete(log);
  await log.close();
}

/** What a follower is told: the data of messages, and that something changed. */
function follow(log: Log, channel = "a"): unknown[] {
  const all: unknown[] = [];
  log.follow(channel, (told: Told) => all.push(...(told.type === "changed" ? ["changed"] : told.entries.map(({ data }) => data))));
  return all;
}

/** An owner that says it is there, and then what the test has it say. */
async function fakeOwner(
  onAsk: (ask: Ask, link: Link<Ask, Answer>) => void = () => {},
): Promise<Server & { readonly sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const link: Link<Ask, Answer> = new Link(socket, { onFrame: (ask) => onAsk(ask, link), onEnd: () => sockets.delete(socket) });
    link.send({ type: "hello", version: DISPATCH_VERSION });
  });
  await new Promise<void>((resolve) => server.listen(makePlace(directory), resolve));
  return Object.assign(server, { sockets });
}

/** A program of test/support on the directory, as a process of its own. */
async function start(name: string, ...words: string[]): Promise<ChildProcess> {
  const outfile = join(import.meta.dirname, `../../node_modules/.cache/throughline/${name}.mjs`);
  const entry = join(import.meta.dirname, `../support/${name}.ts`);
  await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", format: "esm", external: ["lmdb"] });
  return fork(outfile, [directory, ...words]);
}

describe("Workers of a directory", () => {
  test("[D1] [D2] all of them are told one order of what each of them stores, and of what the owner stores itself", async () => {
    const owner = await open(diskOwner(directory));
    const workers = [await open(diskWorker(directory)), await open(diskWorker(directory))];
    const all = [owner, ...workers];
    const told = all.map((log) => follow(log));
    await Promise.all(numbers(90).map((n) => all[n % 3]!.append("a", [draft(`${n}`)])));
    await until("all were told", () => told.every((one) => one.length === 90));
    expect(new Set(told.map((one) => one.join())).size).toBe(1);
    expect(new Set(told[0]).size).toBe(90);
  });

  test("[D3] of a channel that keeps one message they are told every one, though the log has none but the last", async () => {
    const keepsOne = { retain: (_: string, own: Retention) => ({ ...own, countMax: 1 }) };
    const owner = await open(diskOwner(directory), keepsOne);
    const workers = [await open(diskWorker(directory), keepsOne), await open(diskWorker(directory), keepsOne)];
    const told = workers.map((log) => follow(log));
    await owner.append("a", [draft("first")]);
    await Promise.all(numbers(30).map((n) => workers[n % 2]!.append("a", [draft(`${n}`), draft(new Uint8Array([n])), draft("\ud83d")])));
    await until("all were told", () => told.every((one) => one.length === 91));
    expect(told.flat()).not.toContain("changed");
    expect(told[0]).toEqual(told[1]);
    expect((await workers[0]!.read("a", 0, { count: 99, bytes: 9_999 })).entries).toHaveLength(1);
  });

  test("[D4] its own followers are told before a worker is answered, wherever the wake-up is", async () => {
    const writer = await open(disk(directory));
    await fakeOwner(async (ask, link) => {
      if (ask.type === "append") link.send({ type: "done", id: ask.id, answer: await writer.append(ask.channel, [draft("1")]) });
    });
    const worker = await open(diskWorker(directory));
    const told = follow(worker);
    await worker.append("a", [draft("1")]);
    expect(told).toEqual(["1"]);
  });

  test("[D4] what the owner had taken when it died is unknown; what comes until there is another is not stored", async () => {
    await close(await open(disk(directory)));
    const server = await fakeOwner((ask, link) => ask.type === "append" && link.destroy());
    const worker = await open(diskWorker(directory));
    await expect(worker.append("a", [draft("1")])).rejects.toMatchObject({ code: "unknown" });
    await expect(worker.append("a", [draft("2")])).rejects.toMatchObject({ code: "not_stored", retryAfterMs: expect.any(Number) });
    server.close();
    for (const socket of server.sockets) socket.destroy();
  });

  test("[D10] while there is no owner readers read, and it is not ready; when another is there they are told what they missed, and it is", async () => {
    const first = await open(diskOwner(directory));
    const clock = handClock();
    const worker = await open(diskWorker(directory), { clock });
    const told = follow(worker);
    await worker.append("a", [draft("1")]);
    expect(await worker.ready?.()).toBe(null);
    await close(first);
    expect(await worker.ready?.()).toMatch(/The process that writes the log is not there/);
    expect((await worker.read("a", 0, { count: 9, bytes: 999 })).entries.map(({ data }) => data)).toEqual(["1"]);
    const alone = await open(disk(directory));
    await alone.append("a", [draft("2")]);
    await close(alone);
    const second = await open(diskOwner(directory));
    clock.advance(20); // it tries again; but looks at nothing by itself yet
    await until("it is ready again", async () => (await worker.ready?.()) === null);
    await until("it was told", () => told.length === 2);
    await second.append("a", [draft("3")]);
    await until("it is told again", () => told.length === 3);
    expect(told).toEqual(["1", "2", "3"]);
  });

  test("[D2] a wake-up that was lost costs two seconds, and no message", async () => {
    const writer = await open(disk(directory));
    await fakeOwner();
    const clock = handClock();
    const worker = await open(diskWorker(directory), { clock });
    const told = numbers(20).map((n) => follow(worker, `room/${n}`));
    for (const n of numbers(20)) await writer.append(`room/${n}`, [draft("1"), draft("2")]);
    expect(told.flat()).toEqual([]);
    for (let ms = 0; ms < 2_000; ms += 250) clock.advance(250);
    expect(told).toEqual(numbers(20).map(() => ["1", "2"]));
  });

  test("[D3] a log that was put in the place of the one before while no owner was there is what they read from then on", async () => {
    const other = await open(disk(join(directory, "other")));
    await other.append("a", [draft("of the other")]);
    await close(other);
    const first = await open(diskOwner(directory));
    const worker = await open(diskWorker(directory));
    const told = follow(worker);
    await first.append("a", [draft("1")]);
    await until("it was told", () => told.length === 1);
    await close(first);
    cpSync(join(directory, "other/data.mdb"), join(directory, "data.new"));
    renameSync(join(directory, "data.new"), join(directory, "data.mdb"));
    rmSync(join(directory, "lock.mdb"));
    await open(diskOwner(directory));
    await until(
      "it reads the other",
      async () => (await worker.read("a", 0, { count: 9, bytes: 999 })).entries[0]?.data === "of the other",
    );
    await until("it was told", () => told.length === 2);
    expect(told).toEqual(["1", "changed"]);
  });

  test("[D10] an owner that closes while one of them stands still takes away nothing of the owner that comes after it", async () => {
    const first = await open(diskOwner(directory));
    const still = createConnection({ path: placeOf(directory), allowHalfOpen: true });
    await once(still, "data");
    still.pause();
    const closing = close(first);
    await until("another owns it", () =>
      open(diskOwner(directory)).then(
        () => true,
        () => false,
      ),
    );
    await closing;
    still.destroy();
    const worker = await open(diskWorker(directory));
    expect(await worker.ready?.()).toBe(null);
  });

  test("signals reach the workers that follow their channel, and neither the one that sent them nor others", async () => {
    const owner = await open(diskOwner(directory));
    const [a, b, c] = [await open(diskWorker(directory)), await open(diskWorker(directory)), await open(diskWorker(directory))];
    const heard = [owner, a, b, c].map((log) => {
      const notices: Notice[] = [];
      log.listen?.((notice) => notices.push(notice));
      return notices;
    });
    for (const log of [owner, a, b]) follow(log);
    follow(c, "other");
    await c.append("other", [draft("so that all have been heard")]);
    await b.append("a", [draft("and these")]);
    a.notify?.({ channel: "a", body: "from a" });
    owner.notify?.({ channel: "a", body: "from the owner" });
    await until("they have come", () => heard[2]!.length === 2 && heard[0]!.length === 1 && heard[1]!.length === 1);
    expect(heard[0]).toEqual([{ channel: "a", body: "from a" }]);
    expect(heard[1]).toEqual([{ channel: "a", body: "from the owner" }]);
    expect(heard[3]).toEqual([]);
  });

  test("[D9] whoever is on one worker is seen on the other, each join, update and leave is told once, and a new owner alters nothing", async () => {
    const first = await open(diskOwner(directory));
    const nodes = [await startServer(() => diskWorker(directory), PATIENT), await startServer(() => diskWorker(directory), PATIENT)];
    const guests: Guest[] = [];
    const guest = (node: number, data: string, over: "sse" | "websocket") => {
      guests.push(new Guest({ url: nodes[node]!.url, over, data }));
      return guests.at(-1)!;
    };
    try {
      const ada = guest(0, "ada", "websocket");
      await ada.seen("ada");
      const eve = guest(1, "eve", "sse");
      await ada.seen("ada", "eve");
      await eve.seen("ada", "eve");
      await close(first);
      await open(diskOwner(directory));
      const isReady = ({ url }: { url: string }) =>
        demand(`${url}/readyz`).then(
          () => true,
          () => false,
        );
      await until("both hear again", async () => (await Promise.all(nodes.map(isReady))).every(Boolean));
      await eve.here.update("eve!");
      await ada.seen("ada", "eve!");
      await eve.here.leave();
      await ada.seen("ada");
      expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'update "eve!"', 'leave "eve!"']);
    } finally {
      for (const one of guests) one.close();
      for (const node of nodes) await node.dispose();
    }
  });

  test("[D8] an identity is revoked on every worker, whichever is told", async () => {
    await open(diskOwner(directory));
    const authenticate = () => ({ id: "ada" });
    const nodes = [
      await startServer(() => diskWorker(directory), { authenticate }),
      await startServer(() => diskWorker(directory), { authenticate }),
    ];
    const clients = nodes.map(({ url }) => connect(url, { transport: "websocket" }));
    try {
      const channels = clients.map((client) => client.channel("a"));
      for (const channel of channels) channel.subscribe(() => {});
      for (const client of clients) client.on("error", () => {});
      await until("both are live", () => channels.every(({ state }) => state === "live"));
      nodes[0]!.tl.revoke("ada");
      await until("both have ended", () => clients.every(({ state }) => state === "failed"));
    } finally {
      for (const client of clients) client.close();
      for (const node of nodes) await node.dispose();
    }
  });

  test("[D7] a worker that takes nothing is kept no signals beyond a bound, and each channel with news is named to it once", async () => {
    const owner = await open(diskOwner(directory));
    const words: Answer[] = [];
    const frames = new FrameReader<Answer>((word) => words.push(word));
    const socket = createConnection(placeOf(directory));
    socket.on("data", (chunk: Buffer) => frames.take(chunk));
    for (const piece of writeFrame({ type: "follow", channels: ["a"] })) socket.write(piece);
    await until("it is followed", () => words.at(-1)?.type === "wake");
    socket.pause();
    const body = "x".repeat(16_000);
    for (let count = 0; count < 1_000; count++) owner.notify?.({ channel: "a", body });
    for (let count = 0; count < 200; count++) await owner.append("a", [draft("x")]);
    socket.resume();
    await until("it is woken", () => words.length > 10 && words.at(-1)?.type === "wake");
    const large = words.filter((word) => word.type === "notice" && word.body === body);
    expect(large.length).toBeGreaterThan(0);
    expect(large.length).toBeLessThan(200);
    expect(words.slice(words.indexOf(large[0]!)).filter(({ type }) => type === "wake").length).toBeLessThan(5);
    socket.destroy();
  });

  test("[D7] an owner that takes nothing is kept no more than what is followed, however many come and go", async () => {
    await close(await open(disk(directory)));
    let named = 0;
    const server = await fakeOwner((ask, link) => {
      if (ask.type === "follow" || ask.type === "unfollow") named += ask.channels.length;
      else if (ask.type === "ready") link.send({ type: "done", id: ask.id, answer: null });
    });
    const worker = await open(diskWorker(directory));
    worker.follow("stays", () => {});
    for (const socket of server.sockets) socket.pause();
    for (let count = 0; count < 40_000; count += 100) {
      const leave = numbers(100).map((n) => worker.follow(`${count + n}/${"x".repeat(150)}`, () => {}));
      await new Promise(setImmediate);
      for (const one of leave) one();
    }
    for (const socket of server.sockets) socket.resume();
    expect(await worker.ready?.()).toBe(null);
    expect(named).toBeGreaterThan(0);
    expect(named).toBeLessThan(10_000);
    server.close();
  });

  test("where the owner has other process ids, in another container, a worker does not open: LMDB would take two of the same for one reader", async () => {
    await close(await open(disk(directory)));
    const file = join(directory, readdirSync(directory).find((name) => name.startsWith("owner-"))!);
    const { released: _, ...holder } = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...holder, space: "of another" }));
    const server = await fakeOwner();
    await expect(diskWorker(directory).open(contextOf())).rejects.toThrow(/process ids are others than here.*one container/);
    server.close();
  });

  test("an owner of another version is told of as that, and not as none", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let left = () => {};
    const hasLeft = new Promise<void>((resolve) => (left = resolve));
    const server = createServer((socket) => {
      for (const piece of writeFrame({ type: "hello", version: DISPATCH_VERSION + 1 })) socket.write(piece);
      socket.resume().once("close", left);
    });
    await new Promise<void>((resolve) => server.listen(makePlace(directory), resolve));
    const opening = diskWorker(directory).open(contextOf());
    await hasLeft;
    vi.advanceTimersByTime(5_000);
    await expect(opening).rejects.toThrow(/is another version of Throughline.* Start all of them from one version/);
    server.close();
  });

  test("without an owner a worker does not open, and says what to start", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const opening = diskWorker(directory).open(contextOf());
    vi.advanceTimersByTime(5_000);
    await expect(opening).rejects.toThrow(/No process owns .* Start that first: throughline\(\{ engine: diskOwner\(directory\) \}\)/);
  });
});

describe("The place of the socket", () => {
  test("is not believed where its folder among the system's temporary files is somebody else's", () => {
    const others = mkdtempSync(join(tmpdir(), "throughline-others-"));
    try {
      const isRoot = process.getuid?.() === 0;
      if (isRoot) chownSync(others, 65_534, 65_534);
      // Who may not give anything away finds what is root's
      symlinkSync(isRoot ? others : "/", join(directory, "workers"));
      expect(() => placeOf(directory)).toThrow(/belongs to user (65534|0)/);
    } finally {
      rmSync(others, { recursive: true });
    }
  });
});

describe("A worker that is another process", () => {
  test("[D4] sees what was stored before it was told or answered, whatever it had read a moment ago", async () => {
    await open(diskOwner(directory));
    const process = await start("worker-child", "200");
    const [said] = await once(process, "message");
    await once(process, "exit");
    expect(said).toEqual({ told: 200, late: 0 });
  });

  test("[D2] [D10] goes on with an owner that made LMDB's table of readers anew, since it was deleted while there was none", async () => {
    const owner = async () => {
      const child = await start("owner-child");
      await once(child, "message");
      return {
        append: () => {
          child.send("append");
          return once(child, "message");
        },
        end: () => {
          child.disconnect();
          return once(child, "exit");
        },
      };
    };
    const first = await owner();
    const worker = await open(diskWorker(directory));
    const told = follow(worker);
    await first.append();
    await until("it was told", () => told.length === 1);
    await first.end();
    rmSync(join(directory, "lock.mdb"));
    const second = await owner();
    // Without a table in common it would see every second commit
    for (let count = 2; count < 6; count++) {
      await second.append();
      await until(`it was told ${count}`, () => told.length === count);
    }
    await second.end();
    expect(told).not.toContain("changed");
  });
});

describe("Frames", () => {
  const message = fc.record({
    event: fc.string({ maxLength: 5 }),
    kind: fc.constantFrom("text" as const, "json" as const),
    data: fc.string({ unit: "binary", maxLength: 50 }),
    size: fc.nat(99),
  });
  const bytes = fc.record({
    event: fc.constant("b"),
    kind: fc.constant("bytes" as const),
    data: fc.uint8Array({ maxLength: 50 }),
    size: fc.nat(99),
  });

  test("come out as they went in, in whatever pieces a socket gives them", () => {
    const batch = fc.array(fc.oneof(message, bytes), { maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(batch, { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (batches, steps) => {
          const stream = Buffer.concat(
            batches.flatMap((drafts, id) => {
              const { words, data } = split<Draft>(drafts);
              return writeFrame({ type: "append", id, channel: "a", drafts: words }, data);
            }),
          );
          const read: Draft[][] = [];
          const frames = new FrameReader<Ask>((word, data) => word.type === "append" && read.push(joined<Draft>(word.drafts, data)));
          for (let at = 0, step = 0; at < stream.length; step++) {
            const end = at + steps[step % steps.length]!;
            frames.take(stream.subarray(at, end));
            at = end;
          }
          expect(read).toEqual(batches);
        },
      ),
    );
  });

  test("that cannot be are refused", () => {
    const frames = new FrameReader<Ask>(() => {});
    expect(() => frames.take(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toThrow(/no frame/);
  });
});
