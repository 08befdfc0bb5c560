import { afterAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { logConformance } from "../../src/conformance/log.ts";
import type { LogContext } from "../../src/core/log.ts";
import { redis } from "../../src/redis.ts";
import { follow, text } from "../support/brokers.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { sharedCluster, stopSharedCluster } from "../support/redis-cluster.ts";
import { LIBRARIES } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedCluster);

describe.each(LIBRARIES)("A cluster of three, with $name", (library) => {
  logConformance({
    test,
    async create() {
      const { cluster, prefix } = await sharedCluster();
      return {
        make: () => redis(library.cluster(cluster.port), { prefix }),
        clock: handClock(),
        random: seededRandom(1),
        dispose: async () => {},
      };
    },
    level: "memory",
    powers: { reopen: true, remove: true },
  });

  test("[D2] a node is told what another stored, on channels of every part of it", async () => {
    const { cluster, prefix } = await sharedCluster();
    const context: LogContext = {
      ...{ clock: systemClock, random: systemRandom, retain: (_channel, own) => own, warn: () => {} },
      ...{ keysMax: 1_000, keySecondsMin: 86_400, lineageMax: 32 },
    };
    const [a, b] = [redis(library.cluster(cluster.port), { prefix }), redis(library.cluster(cluster.port), { prefix })];
    await Promise.all([a.open(context), b.open(context)]);
    try {
      const told = await Promise.all(numbers(30).map((n) => follow(b, `room/${n}`)));
      for (const n of numbers(30)) await a.append(`room/${n}`, [text("first"), text("second")]);
      await until("all were told", () => told.every((one) => one.length === 2));
      expect(new Set(told.map((one) => one.join()))).toEqual(new Set(["first,second"]));
      const sizes = await Promise.all(cluster.nodes.map(({ ask }) => ask.dbsize()));
      expect(sizes.every((size) => size > 0)).toBe(true);
    } finally {
      await a.close();
      await b.close();
    }
  });

  test("waiting for replicas is refused there, for the connection it needs is not to be had", () => {
    expect(() => redis(library.cluster(1), { waitReplicas: 1 })).toThrow(/waitReplicas does not work on a cluster/);
  });
});
