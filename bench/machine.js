import { execFileSync } from "node:child_process";
import { statfsSync } from "node:fs";
import os from "node:os";

const FILESYSTEMS = { 61267: "ext", 16914836: "tmpfs", 1481003842: "xfs", 2435016766: "btrfs", 2035054128: "overlay" };

/** What a figure was measured on. Nothing that names the machine's owner or its paths. */
export function machine(dataDirectory) {
  const { type } = statfsSync(dataDirectory);
  return {
    cpu: os.cpus()[0]?.model.trim(),
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    // On tmpfs a sync costs nothing, and figures of the disk engine mean nothing.
    filesystem: FILESYSTEMS[type] ?? `0x${type.toString(16)}`,
    loadAtStart: os.loadavg()[0],
  };
}

/** The commit that was measured, with a + if the tree had changes. */
export function commit() {
  try {
    const git = (...args) => execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return git("rev-parse", "--short=12", "HEAD") + (git("status", "--porcelain", "--", "src", "bench", "package.json") ? "+" : "");
  } catch {
    return "unknown";
  }
}
