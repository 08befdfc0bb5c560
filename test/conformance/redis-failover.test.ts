import { afterAll, describe, test } from "vitest";
import { logConformance } from "../../src/conformance/log.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { borrowRedisPair, stopRedisPairs, takingOver } from "../support/redis-pair.ts";
import { LIBRARIES } from "../support/redis-server.ts";

afterAll(stopRedisPairs);

describe.each(LIBRARIES)("A master whose replica takes over at each reopening, with $name", (library) => {
  logConformance({
    test,
    async create() {
      const { pair, prefix, giveBack } = await borrowRedisPair();
      return { make: takingOver(pair, library, prefix), clock: handClock(), random: seededRandom(1), dispose: async () => giveBack() };
    },
    level: "replicated",
    // Redis says that another has taken over, and not that nothing was lost
    powers: { reopen: true, remove: true, keepsEpoch: false },
  });
});
