import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { cacheDirectory } from "./client.js";

const directory = `${cacheDirectory}profiles/`;

/** Node flags that make a server write a CPU profile when it ends. */
export function profileFlags(name) {
  mkdirSync(directory, { recursive: true });
  return ["--cpu-prof", `--cpu-prof-dir=${directory}`, `--cpu-prof-name=${name.replaceAll(/\W+/g, "-")}-${Date.now()}.cpuprofile`];
}

export function forgetProfiles() {
  rmSync(directory, { recursive: true, force: true });
}

/** The functions of each profile in which most time was spent, their callees not counted. */
export function topFunctions(count = 15) {
  const found = {};
  for (const file of readdirSync(directory)) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path.join(directory, file), "utf8"));
    const nameOf = new Map(
      nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
        id,
        `${functionName || "(anonymous)"} ${url ? `${url.split("/").slice(-2).join("/")}:${lineNumber + 1}` : ""}`.trim(),
      ]),
    );
    const selfUs = new Map();
    for (const [index, id] of samples.entries()) {
      const name = nameOf.get(id);
      selfUs.set(name, (selfUs.get(name) ?? 0) + timeDeltas[index]);
    }
    selfUs.delete("(idle)");
    const busyUs = [...selfUs.values()].reduce((sum, us) => sum + us, 0);
    found[file] = [...selfUs]
      .sort((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(([name, us]) => ({ function: name, "% of busy": ((us / busyUs) * 100).toFixed(1), ms: (us / 1000).toFixed(0) }));
  }
  return found;
}
