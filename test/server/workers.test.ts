import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { connect } from "../../src/client.ts";
import type { Retention } from "../../src/core/log.ts";
import { disk } from "../../src/disk.ts";
import { childrenOf } from "../support/children.ts";
import { freePort } from "../support/free-port.ts";
import { demand } from "../support/http.ts";
import { need } from "../support/need.ts";
import { RedisServer } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import { freshDirectory, Program, runProgram, startDevProgram } from "./program.ts";

const TRANSPORTS = ["sse", "websocket", "long-poll"] as const;
const READERS_EACH = 4;

describe("throughline dev --workers", () => {
  test("[D1] [D2] readers over every transport and on both workers see one order of what is published to either, and signals reach them all", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const program = await startDevProgram(port, freshDirectory(), "--workers", "2");
    expect(program.out).toContain("Workers   2\n");
    const clients = TRANSPORTS.flatMap((transport) => numbers(READERS_EACH).map(() => connect(url, { transport })));
    const read = clients.map(() => [] as unknown[]);
    const signals = clients.map(() => new Set<unknown>());
    try {
      for (const [index, client] of clients.entries()) {
        const channel = client.channel("chat/lobby");
        channel.subscribe(({ data }) => read[index]?.push(data));
        channel.on("signal", ({ data }) => signals[index]?.add(data));
      }
      for (const client of clients) await until("it is live", () => client.channel("chat/lobby").state === "live");
      await Promise.all(numbers(60).map((n) => clients[n % clients.length]!.channel("chat/lobby").publish("message", n)));
      await until("all have all", () => read.every((one) => one.length === 60));
      expect(new Set(read.map((one) => one.join())).size, "orders seen").toBe(1);
      const [sse, websocket] = [clients[0]!, clients[READERS_EACH]!];
      await until("signals have come", async () => {
        sse.channel("chat/lobby").signal("typing", "by sse");
        websocket.channel("chat/lobby").signal("typing", "by websocket");
        // A signal is not told to whoever sent it, and long-poll readers have none between two polls
        return (
          signals.slice(1, READERS_EACH).every((one) => one.size === 2) &&
          signals.slice(READERS_EACH + 1, 2 * READERS_EACH).every((one) => one.size === 2)
        );
      });
    } finally {
      for (const client of clients) client.close();
    }
  });

  test("[D5] a key is one key, whichever worker it is sent to, and there is one log of the machine, not one of each", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    await startDevProgram(port, freshDirectory(), "--workers", "2");
    const send = () => demand(`${url}/channels/orders`, { method: "POST", body: { a: 1 }, headers: { "idempotency-key": "k1" } });
    const answers = await Promise.all(numbers(6).map(send));
    expect(new Set(answers.map(({ json }) => json.position)).size).toBe(1);
    expect(answers.filter(({ json }) => json.duplicate !== true)).toHaveLength(1);
    const samples = async () =>
      (await demand(`${url}/channels/machine/stats?from=start`, { headers: { accept: "application/json" } })).json.messages;
    await until("there are six samples", async () => (await samples()).length >= 6);
    const [first, , , , , sixth] = await samples();
    // One each second; of two that sample it would be twice as many
    expect(sixth.at - first.at).toBeGreaterThan(5 * 750);
  });

  test("SIGTERM says goodbye on every worker, ends with 0, and leaves no process, no socket and nothing in its way", async () => {
    const [port, directory] = [await freePort(), freshDirectory()];
    const program = await startDevProgram(port, directory, "--workers", "2");
    const socket = join(directory, "data/workers/socket");
    expect(statSync(join(directory, "data/workers")).mode & 0o777).toBe(0o700);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const children = [...childrenOf(program.pid, "owner"), ...childrenOf(program.pid, "worker")];
    expect(children).toHaveLength(3);
    program.signal("SIGTERM");
    expect(await program.exit()).toBe(0);
    expect(children.filter(isRunning)).toEqual([]);
    expect(readdirSync(join(directory, "data"))).not.toContain("workers");
    await startDevProgram(port, directory);
  });

  test("one that is killed while its processes begin leaves none behind, and the next has its place", async () => {
    const [port, directory] = [await freePort(), freshDirectory()];
    const words = ["dev", "--port", String(port), "--data", join(directory, "data"), "--workers", "2"];
    const first = new Program(words, directory);
    await until("the owner begins", () => childrenOf(first.pid, "owner").length === 1);
    const [owner] = childrenOf(first.pid, "owner");
    first.signal("SIGKILL");
    await first.exit();
    await until("it has gone", () => !isRunning(owner!));
    await startDevProgram(port, directory, "--workers", "2");
  });

  test("[D10] a connection that was on its way to a worker when that was killed is closed, that its client comes again", async () => {
    const port = await freePort();
    const program = await startDevProgram(port, freshDirectory(), "--workers", "1");
    const [worker] = childrenOf(program.pid, "worker");
    const held = () => readdirSync(`/proc/${program.pid}/fd`).length;
    const before = held();
    process.kill(worker!, "SIGSTOP");
    const sockets = numbers(3).map(() => createConnection(port, "127.0.0.1").on("error", () => {}));
    for (const socket of sockets) socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until("they were taken", () => held() >= before + sockets.length);
    process.kill(worker!, "SIGKILL");
    await until("all are closed", () => sockets.every(({ closed }) => closed));
    await until("another is there, and nothing is kept of them", () => childrenOf(program.pid, "worker").length === 1 && held() <= before);
  });

  test("a worker that the system does not start is tried again, and the others serve meanwhile", async () => {
    const port = await freePort();
    const program = await startDevProgram(port, freshDirectory(), "--workers", "2");
    const mayOpen = (files: number) => execFileSync(need("prlimit"), [`--pid=${program.pid}`, `--nofile=${files}:`]);
    mayOpen(10);
    process.kill(childrenOf(program.pid, "worker")[0]!, "SIGKILL");
    await program.until(({ err }) => err.includes("could not be started"));
    expect(childrenOf(program.pid, "worker")).toHaveLength(1);
    mayOpen(1_024);
    await until("there are two again", () => childrenOf(program.pid, "worker").length === 2);
    expect(await demand(`http://127.0.0.1:${port}/livez`)).toMatchObject({ json: { live: true } });
  });

  test("[D10] a worker that cannot open its log is sent no clients: while another program owns the log the one that is left serves all of them", async () => {
    const [port, directory] = [await freePort(), freshDirectory()];
    const url = `http://127.0.0.1:${port}`;
    const program = await startDevProgram(port, directory, "--workers", "2");
    const publish = () => demand(`${url}/channels/a`, { method: "POST", body: 1 }).catch(() => null);
    await publish();
    process.kill(childrenOf(program.pid, "owner")[0]!, "SIGKILL");
    const other = disk(join(directory, "data"));
    const context = { clock: systemClock, random: systemRandom, retain: (_: string, own: Retention) => own, warn() {} };
    await until("another program owns it", () =>
      other.open({ ...context, keysMax: 1, keySecondsMin: 1, lineageMax: 1 }).then(
        () => true,
        () => false,
      ),
    );
    try {
      const [killed] = childrenOf(program.pid, "worker");
      process.kill(killed!, "SIGKILL");
      await program.until(({ err }) => /Worker \d is started again/.test(err));
      const isServed = async () =>
        expect((await demand(`${url}/channels/a?from=start`, { headers: { accept: "application/json" } })).json.messages).toHaveLength(1);
      await until(
        "it has waited for an owner in vain",
        async () => {
          await isServed();
          return program.err.includes("No process owns");
        },
        30_000,
      );
    } finally {
      await other.close();
    }
    await until("publishing goes on", async () => (await publish())?.status === 201);
  });

  test("[D10] a worker that finds nobody who writes while they begin is started again, until there is somebody", async () => {
    const [port, directory] = [await freePort(), freshDirectory()];
    const program = new Program(["dev", "--port", String(port), "--workers", "1"], directory);
    await until("a worker begins", () => childrenOf(program.pid, "worker").length === 1);
    const [owner] = childrenOf(program.pid, "owner");
    process.kill(owner!, "SIGSTOP");
    await program.until(({ err }) => /No process owns .* Worker 1 is started again/.test(err));
    process.kill(owner!, "SIGCONT");
    await program.until(({ out }) => out.includes("Ctrl-C"));
    expect(await runProgram(["pub", "a", "--url", `http://127.0.0.1:${port}`], "one\n")).toMatchObject({ code: 0 });
  });

  test("where the path of the data is too long for a socket, it stands among the system's temporary files, and goes with them", async () => {
    const [port, directory] = [await freePort(), join(freshDirectory(), "a".repeat(100))];
    mkdirSync(directory);
    const program = await startDevProgram(port, directory, "--workers", "1");
    expect(await runProgram(["pub", "a", "--url", `http://127.0.0.1:${port}`], "one\n")).toMatchObject({ code: 0 });
    program.signal("SIGTERM");
    expect(await program.exit()).toBe(0);
    expect(existsSync(join(directory, "data/workers"))).toBe(false);
  });

  test("says what is wrong as it does without workers: a port that is taken, a directory in use, another version's, or no such number", async () => {
    const [port, directory] = [await freePort(), freshDirectory()];
    await startDevProgram(port, directory, "--workers", "1");
    const start = (...words: string[]) => runProgram(["dev", "--workers", "2", ...words]);
    expect(await start("--port", String(port), "--data", join(directory, "other"))).toMatchObject({
      code: 1,
      err: expect.stringContaining(`Port ${port} of 127.0.0.1 is in use by another program`),
    });
    expect(await start("--port", "0", "--data", join(directory, "data"))).toMatchObject({
      code: 1,
      err: expect.stringMatching(/is in use by process \d+ on .*only one process may write to it/),
    });
    const newer = freshDirectory();
    writeFileSync(join(newer, "format.json"), JSON.stringify({ name: "throughline", formatVersion: 99 }));
    expect(await start("--port", "0", "--data", newer)).toMatchObject({
      code: 1,
      err: expect.stringContaining("was written by a newer Throughline"),
    });
    expect(await start("--memory")).toMatchObject({ code: 2 });
    expect(await runProgram(["dev", "--workers", "0"])).toMatchObject({ code: 2 });
  });

  test("[D2] on a broker each worker is a node of its own, on any port that is free", async () => {
    await using server = new RedisServer({ port: await freePort() });
    const program = new Program(["dev", "--port", "0", "--engine", server.url, "--workers", "2"]);
    await program.until(({ out }) => out.includes("Ctrl-C"));
    const [url = ""] = /http:\S+/.exec(program.out) ?? [];
    expect([childrenOf(program.pid, "owner").length, childrenOf(program.pid, "worker").length]).toEqual([0, 2]);
    const subs = numbers(2).map(() => new Program(["sub", "logs/app", "--from", "start", "--url", url]));
    expect(await runProgram(["pub", "logs/app", "--url", url], "one\ntwo\n")).toMatchObject({ code: 0 });
    for (const sub of subs) await sub.until(({ lines }) => lines.join() === "one,two");
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
