// The simulation as one file for Node: built in a tenth of a second, and run some hundred thousand times.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Bundles `test/model/sim.ts` and returns the path of the file, which exports `play(seed)` and `hashOfHistory(events)`. What plugins of esbuild
 * change of the sources is in it: a mutant is a plugin and a `name` of its own.
 */
export async function bundle(plugins = [], name = "sim") {
  const outfile = join(root, `node_modules/.cache/throughline/${name}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: ["test/model/sim.ts"],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
    external: ["lmdb"],
    sourcemap: "inline",
    logLevel: "error",
    plugins: [...plugins],
  });
  return outfile;
}
