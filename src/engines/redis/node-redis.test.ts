import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
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

  async sendCommand(key: string | undefined, _isReadonly: boolean, _words: readonly string[]): Promise<unknown> {
    if (key !== undefined) throw this.#error;
    this.asked++;
    return this.#ports.map((port, index) => [index * 8_192, index * 8_192 + 8_191, ["127.0.0.1", port, `id-${port}`]]);
  }
}

/** Asks a channel on the master that is away, three at a time; gives what the link ended with. */
async function endOf(cluster: Cluster): Promise<Error | null> {
  let ended: Error | null = null;
  const link = await nodeRedisPlug(cluster).open({
    onHeard() {},
    onEnd(error) {
      ended = error;
    },
  });
  const asked = [1, 2, 3].map(() => link.send("a", ["GET", "a"]));
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(Array(3).fill("rejected"));
  await new Promise(setImmediate);
  return ended;
}

test.each([REFUSED, OFFLINE])(
  "[D10] where another has taken the place of a master that is away ($message), the link ends: what the library knows of the cluster is of the time before",
  async (error) => {
    const cluster = new Cluster(error, 7_002, 7_003);
    expect(await endOf(cluster)).toBe(error);
    expect(cluster.asked).toBe(1);
  },
);

test("while nobody has taken its place the link goes on, since what is asked of the others must not suffer from it", async () => {
  const cluster = new Cluster(REFUSED, 7_001, 7_002);
  expect(await endOf(cluster)).toBe(null);
  expect(cluster.asked).toBe(1);
});
