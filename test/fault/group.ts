import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ground } from "./ground.ts";

const CGROUPS = "/sys/fs/cgroup";

/**
 * A control group (version 1) for the server of a ground, below the one that this process is in, so that whatever bounds us bounds it too.
 * Throws with what is lacking: a machine that has version 2 alone, or none that can be written, cannot try these rows.
 */
export class Group {
  readonly path: string;

  constructor(ground: Ground, controller: "memory" | "freezer" | "cpu") {
    const line = readFileSync("/proc/self/cgroup", "utf8").match(new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, "m"));
    if (line === null || !existsSync(join(CGROUPS, controller, "cgroup.procs"))) {
      throw new Error(`This row needs the control group "${controller}" of cgroups version 1, mounted at ${CGROUPS}/${controller}.`);
    }
    this.path = join(CGROUPS, controller, line[1] as string, `throughline-${process.pid}-${controller}`);
    ground.ledger.note({ type: "group", path: this.path });
    mkdirSync(this.path, { recursive: true });
  }

  set(name: string, value: string | number): void {
    writeFileSync(join(this.path, name), String(value));
  }

  get(name: string): string {
    return readFileSync(join(this.path, name), "utf8").trim();
  }

  /** From now on the server is bound by it, with all its threads. */
  take(ground: Ground): void {
    this.set("cgroup.procs", ground.server?.pid ?? 0);
  }
}
