import { until } from "../support/until.ts";
import { Nodes } from "./nodes.ts";
import { type Keeping, RedisBroker } from "./redis-broker.ts";
import { ALL, goOn, NOTHING, SINCE, say, startWithOlder, startWithout, type Wipe, wiped } from "./wiped.ts";

const NODES = 2;
const CHANNELS = ["orders", "chat/lobby", "quiet"];
const BUSY = /\{(orders|chat\/lobby)\}/;

type RedisWipe = Wipe<RedisBroker>;
type Terms = Omit<RedisWipe, "befall">;

/** The messages alone: Redis still knows where the log stood and which keys it had. Who had them all lacks nothing. */
const MESSAGES: Terms = { takes: { may: ["trimmed"] }, again: "duplicate" };

const keyOf = (channel: string, part: string) => `throughline:{${channel}}:${part}`;
const keysOf = (part: string) => CHANNELS.map((channel) => keyOf(channel, part));

/** A step of Redis, between two of the nodes'. */
function step(terms: Terms, act: (broker: RedisBroker) => unknown): RedisWipe {
  return {
    ...terms,
    async befall({ broker, nodes }, taken) {
      await nodes.meanwhile(async () => {
        taken();
        await act(broker);
      });
    },
  };
}

const SYNCED: Readonly<Record<string, RedisWipe>> = {
  "all of it is flushed": step(ALL, (broker) => broker.ask("flushall")),
  "the logs alone are deleted": step(MESSAGES, (broker) => broker.ask("del", ...keysOf("log"))),
  "where the logs stand is deleted alone": step(ALL, (broker) => broker.ask("del", ...keysOf("meta"))),
  // What was published by them is stored anew if it comes again (docs/redis.md): of that nobody is told, for nobody lacks it
  "the tables of keys alone are deleted": {
    ...NOTHING,
    async befall({ ground, broker, quiet }, taken) {
      taken();
      broker.ask("del", ...keysOf("keys"));
      await say(ground, quiet);
    },
  },
  "the order of the keys alone is deleted": step(NOTHING, (broker) => broker.ask("del", ...keysOf("ages"))),
  "the logs expire": step(MESSAGES, (broker) => expire(broker, keysOf("log"))),
  "where the logs stand expires": step(ALL, (broker) => expire(broker, keysOf("meta"))),
  "keys are evicted": {
    takes: { may: ["epoch", "trimmed"], loses: ["disk"] },
    async befall({ ground, nodes, broker, quiet }, taken) {
      await nodes.meanwhile(async () => {
        taken();
        await evict(broker);
      });
      await say(ground, quiet);
    },
  },
  "it is started without any of its files": { ...ALL, befall: startWithout },
  "an older copy of its files is put back": {
    ...SINCE,
    async befall(stage, taken) {
      await stage.broker.rewrite();
      await startWithOlder(stage, taken);
      await stage.broker.rewrite();
    },
  },
  "it is made to load anew what it saves": step(NOTHING, (broker) => broker.ask("debug", "reload")),
};

const SNAPSHOTS: Readonly<Record<string, RedisWipe>> = {
  "it is started with an older snapshot": {
    ...SINCE,
    async befall(stage, taken) {
      const { broker, nodes } = stage;
      await broker.snapshot();
      await goOn(stage);
      await broker.stop("SIGKILL");
      taken();
      await nodes.areUnready();
      await broker.start();
    },
  },
  "it is made to load an older snapshot, and keeps its connections": {
    ...SINCE,
    takes: { may: ["truncated"], loses: ["disk"], rewrites: true },
    async befall(stage, taken) {
      const { broker, nodes } = stage;
      await broker.snapshot();
      await goOn(stage);
      await nodes.meanwhile(() => {
        taken();
        broker.ask("debug", "reload", "nosave");
      });
    },
  },
};

/** They have an end, and it comes. */
async function expire(broker: RedisBroker, keys: readonly string[]): Promise<void> {
  for (const key of keys) broker.ask("pexpire", key, "100");
  await until("they are gone", () => broker.ask("exists", ...keys).startsWith("0"));
}

/** It may keep less than it has, and something else is asked for all the time. */
async function evict(broker: RedisBroker): Promise<void> {
  const evicted = await broker.watch("evicted");
  broker.ask("config", "set", "maxmemory", "20mb", "maxmemory-policy", "allkeys-lru");
  await until("keys of channels are evicted", () => {
    broker.ask("-n", "1", "setrange", "something-else", "19900000", "x");
    return evicted.some((key) => BUSY.test(key));
  });
  broker.ask("-n", "1", "flushdb");
  broker.ask("config", "set", "maxmemory", "0", "maxmemory-policy", "noeviction");
}

for (const [keeps, wipes] of [
  [{ save: "", appendonly: "yes", appendfsync: "always" }, SYNCED],
  [{ save: "3600 1", appendonly: "no" }, SNAPSHOTS],
] as const satisfies [Keeping, Record<string, RedisWipe>][]) {
  wiped(
    {
      row: "B5",
      name: "Redis",
      async begin(ground) {
        const broker = new RedisBroker(ground, "redis", { keeps });
        await broker.start();
        return { nodes: new Nodes(ground, NODES, RedisBroker.urlOf), broker, version: `Redis ${broker.version}` };
      },
    },
    wipes,
  );
}
