import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
export const BIN = join(ROOT, "bin/throughline.js");
export const CACHE = join(ROOT, "node_modules/.cache/throughline");
/** Where programs of the tests are that run by themselves. Of this process alone: several may try faults at once. */
export const BUILT = join(CACHE, `fault-${process.pid}`);

beforeAll(async () => {
  await build({
    entryPoints: ["crowd-child", "server-child", "probe-child", "unsynced-child"].map((name) => join(import.meta.dirname, `${name}.ts`)),
    outdir: BUILT,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["lmdb", "ws", "redis", "ioredis", "@nats-io/transport-node"],
  });
});

afterAll(() => rmSync(BUILT, { recursive: true, force: true }));
