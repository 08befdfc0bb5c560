import { afterAll, test } from "vitest";
import { logConformance } from "../../src/conformance/log.ts";
import { nats } from "../../src/nats.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { sharedNats, stopSharedNats } from "../support/nats-server.ts";

afterAll(stopSharedNats);

logConformance({
  test,
  async create() {
    const { server, prefix } = sharedNats();
    return {
      make: () => nats(server.connect, { prefix, streams: 2 }),
      clock: handClock(),
      random: seededRandom(1),
      dispose: async () => {},
    };
  },
  level: "memory",
  powers: { reopen: true, remove: true },
});
