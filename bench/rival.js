import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL("rivals", import.meta.url));

/** Installs the rivals, at the versions of their own lock, unless that was done. They are no dependency of the product's or of its tests'. */
export function installRivals() {
  const installed = `${directory}/node_modules/.package-lock.json`;
  if (existsSync(installed) && versionsIn(installed) === versionsIn(`${directory}/package-lock.json`)) return;
  const words = ["ci", "--prefix", directory, "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr, error } = spawnSync("npm", words, { encoding: "utf8", timeout: 300_000 });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split("\n").slice(0, 3).join(" ");
  throw new Error(
    `Socket.IO and its adapters could not be installed, and so not be measured: npm ci --prefix bench/rivals said: ${reason}`,
  );
}

/** The packages of a lock, without what it says of the whole. */
function versionsIn(lock) {
  const { packages } = JSON.parse(readFileSync(lock, "utf8"));
  return Object.entries(packages)
    .filter(([path]) => path !== "")
    .map(([path, { version }]) => `${path}@${version}`)
    .sort()
    .join(" ");
}
