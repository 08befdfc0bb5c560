import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { logConformance } from "../../src/conformance/log.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { workerWithOwner } from "../support/worker-log.ts";

logConformance({
  test,
  async create() {
    const directory = mkdtempSync(join(tmpdir(), "throughline-disk-"));
    const dispose = async () => rmSync(directory, { recursive: true });
    return { make: () => workerWithOwner(directory), clock: handClock(), random: seededRandom(1), dispose };
  },
  level: "disk",
  powers: { reopen: true, remove: true },
});
