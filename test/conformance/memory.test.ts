import { test } from "vitest";
import { logConformance } from "../../src/conformance/log.ts";
import { memory } from "../../src/engines/memory/memory.ts";
import { handClock, seededRandom } from "../support/clock.ts";

logConformance({
  test,
  create: async () => ({ make: () => memory(), clock: handClock(), random: seededRandom(1), dispose: async () => {} }),
  level: "memory",
  powers: { reopen: false, remove: true },
});
