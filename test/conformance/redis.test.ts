import { afterAll, describe, test } from "vitest";
import { logConformance } from "../../src/conformance/log.ts";
import { redis } from "../../src/redis.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { LIBRARIES, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";

afterAll(stopSharedRedis);

describe.each(LIBRARIES)("with $name", ({ client }) => {
  logConformance({
    test,
    async create() {
      const { server, prefix } = sharedRedis();
      return { make: () => redis(client(server), { prefix }), clock: handClock(), random: seededRandom(1), dispose: async () => {} };
    },
    level: "memory",
    powers: { reopen: true, remove: true },
  });
});
