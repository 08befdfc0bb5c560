import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import type { Link } from "./link.ts";
import { nodeRedisPlug } from "./node-redis.ts";

const REFUSED = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:7001"), { syscall: "connect" });
const OFFLINE = new Error("The client is offline");

/** What a cluster client of node-redis is to the plug, of which one master cannot be connected to; the cluster has these masters, by what it says itself. */
class Cluster extends EventEmitter {
  readonly masters = [
    { host: "127.0.0.1", port: 7_001 },
    { host: "127.0.0.1", port: 7_002 },
  ];
  asked = 0;
  readonly #error: Error;
  readonly #ports: readonly number[];

  constructor(error: Error, ...ports: number[]) {
    super();
    this.#error = error;
    this.#ports = ports;
  }

  async connect() {}
  destroy() {}
  duplicate() {
    return this;
  }

  async sSubscribe(): Promise<unknown> {
    throw this.#error;
  }

  async sendCommand(key: string | undefined, _isReadonly: boolean, _words: readonly string[]): Promise<unknown> {
    if (key !== undefined) throw this.#error;
    this.asked++;
    return this.#ports.map((port, index) => [index * 8_192, index * 8_192 + 8_191, ["127.0.0.1", port, `id-${port}`]]);
  }
}

const sends = (link: Link) => [1, 2, 3].map(() => link.send("a", ["GET", "a"]) as Promise<unknown>);
const listens = (link: Link) => [1, 2, 3].map((n) => link.subscribe([`a${n}`]) as Promise<unknown>);

/** Asks the master that is away, three things at a time; gives what the link ended with. */
async function endOf(cluster: Cluster, ask = sends): Promise<Error | null> {
  let ended: Error | null = null;
  const link = await nodeRedisPlug(cluster).open({
    onHeard() {},
    onEnd(error) {
      ended = error;
    },
  });
  const asked = ask(link);
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(Array(3).fill("rejected"));
  await new Promise(setImmediate);
  return ended;
}

test.each([
  { what: "asked", ask: sends, error: REFUSED },
  { what: "asked", ask: sends, error: OFFLINE },
  { what: "listened at", ask: listens, error: REFUSED },
])(
  "[D10] where another has taken the place of a master that is away and is $what ($error.message), the link ends: what the library knows of the cluster is of the time before",
  async ({ ask, error }) => {
    const cluster = new Cluster(error, 7_002, 7_003);
    expect(await endOf(cluster, ask)).toBe(error);
    expect(cluster.asked).toBe(1);
  },
);

test("while nobody has taken its place the link goes on, since what is asked of the others must not suffer from it", async () => {
  const cluster = new Cluster(REFUSED, 7_001, 7_002);
  expect(await endOf(cluster)).toBe(null);
  expect(cluster.asked).toBe(1);
});
