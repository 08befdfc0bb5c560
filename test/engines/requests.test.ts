import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../src/client.ts";
import { diskOwner, diskWorker } from "../../src/disk.ts";
import { type HandlerInput, type Log, ThroughlineError } from "../../src/index.ts";
import { type BrokerKind, CLUSTER, engineAt, IOREDIS, NATS, REDIS } from "../support/brokers.ts";
import { demand } from "../support/http.ts";
import { type ServerOptions, startServer, type TestServer } from "../support/start-server.ts";
import { byToken } from "../support/story.ts";
import { until } from "../support/until.ts";

const JOB = "jobs/7";

/** What connects nodes. */
interface Ground {
  /** The engine of the first node, or the second. */
  engine(node: number): Log;
  /** Takes away what connects them, and brings it back. */
  outage?(): Promise<() => Promise<void>>;
  end(): Promise<void>;
}

const broker = (kind: BrokerKind) => ({
  name: `two nodes with ${kind.name}`,
  async begin(): Promise<Ground> {
    const running = await kind.begin();
    return {
      engine: () => engineAt(running.address, { prefix: "requests" }),
      async outage() {
        await running.kill();
        return async () => {
          await running.start();
          // A node that begins while a cluster is not whole is refused, as it should be
          await running.whole?.();
        };
      },
      end: () => running.stop(),
    };
  },
});

const WORKERS = {
  name: "a worker and the owner of a log on disk",
  async begin(): Promise<Ground> {
    const directory = mkdtempSync(join(tmpdir(), "throughline-requests-"));
    return {
      engine: (node) => (node === 0 ? diskOwner(directory) : diskWorker(directory)),
      async end() {
        rmSync(directory, { recursive: true, force: true });
      },
    };
  },
};

/** Two nodes, started one after the other and stopped the other way round: a worker does not outlive its owner. */
class Pair implements AsyncDisposable {
  readonly nodes: readonly TestServer[];

  private constructor(nodes: readonly TestServer[]) {
    this.nodes = nodes;
  }

  static async on(ground: Ground, options: ServerOptions = {}): Promise<Pair> {
    const nodes: TestServer[] = [];
    for (let node = 0; node < 2; node++) {
      nodes.push(await startServer(() => ground.engine(node), options));
      await nodes[node]!.tl.open();
    }
    return new Pair(nodes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes.toReversed()) await node.dispose();
  }
}

describe.each([broker(REDIS), broker(IOREDIS), broker(NATS), broker(CLUSTER), WORKERS])("Requests on $name", ({ begin }) => {
  let ground: Ground;

  beforeAll(async () => {
    ground = await begin();
  });
  afterAll(() => ground.end());

  test("are answered by the node that has the handler, whichever is asked and whichever way, and each is done once", async () => {
    await using pair = await Pair.on(ground, { authenticate: byToken });
    for (const [index, has] of pair.nodes.entries()) {
      const asked = pair.nodes[1 - index]!;
      const inputs: HandlerInput[] = [];
      const takeBack = has.tl.handle("jobs/:id", "stop", (input) => {
        inputs.push(input);
        return { stopped: input.params["id"], data: input.data };
      });
      const clients = (["sse", "websocket"] as const).map((transport) => connect(asked.url, { transport, token: "ada" }));
      const ways = [
        ...clients.map((client) => (data: unknown) => client.channel(JOB).request("stop", data)),
        async (data: unknown) =>
          (await demand(`${asked.url}/requests/${JOB}?name=stop`, { method: "POST", token: "ada", body: data })).json,
        (data: unknown) => asked.tl.channel(JOB).request("stop", data),
      ];
      for (const [way, ask] of ways.entries()) expect(await ask({ way })).toEqual({ stopped: "7", data: { way } });
      expect(inputs.map(({ identity, channel }) => [channel, identity.id])).toEqual(["ada", "ada", "ada", ""].map((id) => [JOB, id]));
      for (const client of clients) client.close();
      takeBack();
    }
  });

  test("are refused as the handler refuses them, and with no_handler where no node has one", async () => {
    await using pair = await Pair.on(ground, { limits: { offerSecondsMax: 0.5 } });
    const [asked, has] = pair.nodes.map(({ tl }) => tl.channel(JOB));
    pair.nodes[1]!.tl.handle("jobs/:id", "stop", () => {
      throw new ThroughlineError("forbidden", "only the owner may");
    });
    // On a busy machine the offer may come too late
    let refused: { readonly code?: string } = { code: "no_handler" };
    await until("it is offered in time", async () => {
      refused = (await asked!.request("stop").catch((error: { readonly code?: string }) => error)) as { readonly code?: string };
      return refused.code !== "no_handler";
    });
    expect(refused).toMatchObject({ code: "forbidden", message: "only the owner may" });
    await expect(asked!.request("start")).rejects.toMatchObject({ code: "no_handler" });
    await expect(has!.request("start")).rejects.toMatchObject({ code: "no_handler" });
  });

  test("many at once are each done once, and each asker gets its own answer", async () => {
    await using pair = await Pair.on(ground);
    const [asked, has] = pair.nodes;
    const done = new Map<unknown, number>();
    has!.tl.handle("jobs/:id", "square", async ({ data, params }) => {
      done.set(data, (done.get(data) ?? 0) + 1);
      return [params["id"], Number(data) ** 2];
    });
    const all = Array.from({ length: 300 }, (_, number) => asked!.tl.channel(`jobs/${number}`).request("square", number));
    expect(await Promise.all(all)).toEqual(all.map((_, number) => [String(number), number ** 2]));
    expect([done.size, Math.max(...done.values())]).toEqual([300, 1]);
  });

  test("end in request_timeout where the node that answers is gone without a word", async () => {
    const engines: Log[] = [];
    const engine = (node: number): Log => (engines[node] = ground.engine(node));
    await using pair = await Pair.on({ ...ground, engine }, { limits: { requestSecondsMax: 1 } });
    const [first, second] = pair.nodes;
    let begun = 0;
    second!.tl.handle("jobs/:id", "stop", () => ++begun && new Promise(() => {}));
    const lost = first!.tl.channel(JOB).request("stop");
    lost.catch(() => undefined);
    await until("it is being done", () => begun === 1);
    // As one that was killed
    engines[1]!.notify = () => {};
    await second!.stop();
    await expect(lost).rejects.toMatchObject({ code: "request_timeout" });
  });

  test("end in restart where the node that answers stops, and then go to another that has the handler", async () => {
    await using pair = await Pair.on(ground);
    const [first, second] = pair.nodes;
    let begun = 0;
    second!.tl.handle("jobs/:id", "stop", () => ++begun && new Promise(() => {}));
    const lost = first!.tl.channel(JOB).request("stop");
    lost.catch(() => undefined);
    await until("it is being done", () => begun === 1);
    await second!.stop();
    await expect(lost).rejects.toMatchObject({ code: "restart" });
    await second!.start();
    second!.tl.handle("jobs/:id", "stop", () => "stopped");
    await second!.tl.open();
    expect(await first!.tl.channel(JOB).request("stop")).toBe("stopped");
  });

  test("are each done at most once while what connects the nodes comes and goes, and what is answered was done", async () => {
    const outage = ground.outage;
    await using pair = await Pair.on(ground, { limits: { requestSecondsMax: 2 } });
    const done = new Map<unknown, number>();
    pair.nodes[1]!.tl.handle("jobs/:id", "stop", ({ data }) => done.set(data, (done.get(data) ?? 0) + 1).size);
    const outcomes: Promise<string>[] = [];
    const ask = () => {
      const number = outcomes.length;
      const asked = pair.nodes[0]!.tl.channel(JOB).request("stop", number);
      outcomes.push(
        asked.then(
          () => (done.get(number) === 1 ? "answered" : `${number} was answered and not done`),
          ({ code }) => code as string,
        ),
      );
    };
    const asking = setInterval(ask, 10);
    for (let times = 0; times < 2; times++) {
      const answered = done.size;
      await until("some are answered", () => done.size > answered + 20);
      if (outage === undefined) await pair.nodes[0]!.restart();
      else await (await outage())();
    }
    clearInterval(asking);
    const seen = new Set(await Promise.all(outcomes));
    expect(seen).toContain("answered");
    // Where nobody could be asked, or what became of it was lost; of an owner that stops it is said so
    for (const code of ["answered", "no_handler", "request_timeout", "restart", "overloaded", "too_many_requests"]) seen.delete(code);
    expect([...seen]).toEqual([]);
    expect(Math.max(...done.values())).toBe(1);
  });

  test("are answered again once what connects the nodes is back", async () => {
    const outage = ground.outage;
    await using pair = await Pair.on(ground, { limits: { offerSecondsMax: 0.5 } });
    pair.nodes[1]!.tl.handle("jobs/:id", "stop", () => "stopped");
    const ask = () => pair.nodes[0]!.tl.channel(JOB).request("stop");
    expect(await ask()).toBe("stopped");
    if (outage === undefined) {
      // The owner is one of the two
      await pair.nodes[0]!.restart();
      await pair.nodes[0]!.tl.open();
    } else {
      const back = await outage();
      await expect(ask()).rejects.toMatchObject({ code: "no_handler" });
      await back();
    }
    await until("it is answered", async () => (await ask().catch(() => null)) === "stopped");
  });
});
