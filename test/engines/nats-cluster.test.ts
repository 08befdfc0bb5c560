import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import type { Log, LogContext } from "../../src/core/log.ts";
import { type NatsOptions, nats } from "../../src/nats.ts";
import { everything, follow, LOBBY, text } from "../support/brokers.ts";
import { NatsCluster } from "../support/nats-cluster.ts";
import { NATS_KEEPS_COPIES } from "../support/nats-version.ts";
import { until } from "../support/until.ts";

let cluster: NatsCluster;
const opened: Log[] = [];

beforeAll(async () => {
  cluster = await NatsCluster.start();
});
afterAll(async () => {
  for (const log of opened) await log.close();
  await cluster[Symbol.asyncDispose]();
});

async function open(options: NatsOptions): Promise<{ readonly log: Log; readonly sentences: readonly string[] }> {
  const sentences: string[] = [];
  const context: LogContext = {
    ...{ clock: systemClock, random: systemRandom, retain: (_channel, own) => own, warn: (sentence) => sentences.push(sentence) },
    ...{ keysMax: 1_000_000, keySecondsMin: 86_400, lineageMax: 32 },
  };
  const log = nats(cluster.connect, options);
  await log.open(context);
  opened.push(log);
  return { log, sentences };
}

describe("Three servers of NATS", () => {
  test("[D3] whose streams have one copy vouch for the end of no epoch: the word that one of them forgets may be held by another than the log", async () => {
    const a = await open({ prefix: "single", streams: 1 });
    await a.log.append(LOBBY, [text("before")]);
    await cluster.servers[0]!.ask("STREAM.DELETE.single-fence");
    const b = await open({ prefix: "single", streams: 1 });
    await b.log.append(LOBBY, [text("after")]);
    expect((await everything(a.log)).head?.lineage.slice(1)).toEqual([{ epoch: expect.any(String), start: 2, isUnvouched: true }]);
  });

  if (!NATS_KEEPS_COPIES) {
    test("[D4] that may store two messages in one place, once streams have copies, are refused, and told why", async () => {
      await expect(open({ prefix: "level", replicas: 3, streams: 1 })).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringMatching(/two messages in one place.*level-\* have up to 3\. Update it to 2\.11/),
      });
    });
  } else {
    test("[D4] with three replicas acks say replicated, and the operator is told nothing", async () => {
      const { log, sentences } = await open({ prefix: "level", replicas: 3, streams: 1 });
      expect([log.level, sentences]).toEqual(["replicated", []]);
    });

    test("[D1] [D4] [D5] of which the leader is killed and comes back lose nothing acknowledged, and nothing stands twice", async () => {
      const [a, b] = [await open({ prefix: "kills", replicas: 3, streams: 1 }), await open({ prefix: "kills", replicas: 3, streams: 1 })];
      const told = await follow(b.log);
      const acknowledged = new Map<string, string>();
      let isOver = false;
      const publishing = [a, b, a].map(async ({ log }, publisher) => {
        for (let n = 1; !isOver; n++) {
          const key = `${publisher} ${n}`;
          for (let isStored = false; !isStored && !isOver; ) {
            const [one] = await log.append(LOBBY, [text(key, key)]).catch(() => []);
            isStored = one !== undefined && "position" in one;
            if (one !== undefined && "position" in one) acknowledged.set(key, one.position.tag);
            else await new Promise((resolve) => setTimeout(resolve, 10));
          }
        }
      });
      const some = async () => {
        const before = acknowledged.size;
        await until("some more were stored", () => acknowledged.size >= before + 50);
      };
      await some();
      const leader = await cluster.leaderOf("kills-0");
      await leader.kill();
      await some();
      leader.start();
      await some();
      isOver = true;
      await Promise.all(publishing);
      await until("all that was acknowledged is read", async () => {
        const page = await everything(a.log).catch(() => null);
        const tags = new Set(page?.entries.map(({ tag }) => tag));
        return [...acknowledged.values()].every((tag) => tags.has(tag));
      });
      const { entries } = await everything(a.log);
      const tags = new Map(entries.map(({ data, tag }) => [data, tag]));
      expect(tags.size, "each key once").toBe(entries.length);
      expect([...acknowledged].filter(([key, tag]) => tags.get(key) !== tag)).toEqual([]);
      await until("the follower has heard of the end", () => told.at(-1) === entries.at(-1)?.data || told.at(-1) === "changed");
    }, 90_000);
  }
});
