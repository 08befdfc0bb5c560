import { describe, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { NatsServer } from "../support/nats-server.ts";
import { RedisCluster } from "../support/redis-cluster.ts";
import { RedisServer } from "../support/redis-server.ts";
import { Program, runProgram } from "./program.ts";

/** Node's own way to answer for a package that is not there. */
const WITHOUT_CLIENTS = `--import data:text/javascript,${encodeURIComponent(
  `import { register } from "node:module"; register("data:text/javascript," + encodeURIComponent('export async function resolve(name, context, next) { if (/^(io)?redis$|^@nats-io/.test(name)) throw Object.assign(new Error("none"), { code: "ERR_MODULE_NOT_FOUND" }); return next(name, context); }'));`,
)}`;

describe("throughline dev --engine", () => {
  test.each([
    { name: "Redis", start: async () => new RedisServer({ port: await freePort() }) },
    { name: "Redis Cluster", start: () => RedisCluster.start({ silentMsMax: 60_000 }) },
    { name: "NATS", start: async () => new NatsServer() },
  ])("[D2] two servers on one $name are one line: what is published to one is read on the other", async ({ start }) => {
    await using server = await start();
    const [a, b] = [await freePort(), await freePort()];
    const urls = [`http://127.0.0.1:${a}`, `http://127.0.0.1:${b}`] as const;
    const program = await startDevOn(a, server.url);
    expect(program.out).toContain(`Messages  ${server.url}\n`);
    await startDevOn(b, server.url);
    const sub = new Program(["sub", "logs/app", "--from", "start", "--url", urls[1]]);
    expect(await runProgram(["pub", "logs/app", "--url", urls[0]], "one\ntwo\n")).toMatchObject({ code: 0 });
    expect(await runProgram(["pub", "logs/app", "--url", urls[1]], "three\n")).toMatchObject({ code: 0 });
    await sub.until(({ lines }) => lines.length === 3);
    expect(sub.lines).toEqual(["one", "two", "three"]);
  });

  test("says what is wrong where there is no Redis, no such engine, or no client for it", async () => {
    const [port, closed] = [String(await freePort()), await freePort()];
    const start = (...words: string[]) => runProgram(["dev", "--port", port, ...words]);
    expect(await start("--engine", `redis://:secret@127.0.0.1:${closed}`)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/Redis cannot be reached: .*ECONNREFUSED/),
    });
    expect(await start("--engine", `nats://me:secret@127.0.0.1:${closed}`)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/NATS cannot be reached: .*refused/i),
    });
    expect(await start("--engine", "kafka://localhost")).toMatchObject({
      code: 1,
      err: expect.stringContaining("There is no engine for kafka://localhost. Write it as redis://host:port or nats://host:port"),
    });
    expect(await start("--engine", "redis://localhost", "--memory")).toMatchObject({ code: 2 });
    process.env["NODE_OPTIONS"] = WITHOUT_CLIENTS;
    try {
      const { code, err } = await start("--engine", `redis://user:secret@127.0.0.1:${closed}`);
      expect([code, err]).toEqual([
        1,
        expect.stringContaining(
          `To use redis://127.0.0.1:${closed} a client of Redis is needed, and none is installed. Install one: npm install redis`,
        ),
      ]);
      expect((await start("--engine", `nats://me:secret@127.0.0.1:${closed}`)).err).toContain(
        `To use nats://127.0.0.1:${closed} a client of NATS is needed, and none is installed. Install one: npm install @nats-io/transport-node.`,
      );
    } finally {
      delete process.env["NODE_OPTIONS"];
    }
  });
});

async function startDevOn(port: number, engine: string): Promise<Program> {
  const program = new Program(["dev", "--port", String(port), "--engine", engine]);
  await program.until(({ out }) => out.includes("Ctrl-C"));
  return program;
}
