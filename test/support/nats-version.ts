import { execFileSync } from "node:child_process";
import { need } from "./need.ts";

/** Of the nats-server that the tests start: `2.9.10`. */
export const NATS_VERSION = execFileSync(need("nats-server"), ["--version"], { encoding: "utf8" }).match(/v(\d+\.\d+\S*)/)?.[1] ?? "0.0";

/** Before, one with copies may store two messages in one place (docs/nats.md), and is refused. */
export const NATS_KEEPS_COPIES = isNats("2.11");

/** Whether it is that version or a later one. */
export function isNats(least: string): boolean {
  const [major = 0, minor = 0] = NATS_VERSION.split(".").map((part) => Number.parseInt(part, 10));
  const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
