import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

/** The promise of the README. 6,000 is the aim. */
const CLIENT_BYTES_MAX = 8_000;
const PRESENCE_BYTES_MAX = 2_500;
const HOOKS_BYTES_MAX = 1_000;
/** `usePresence`, beside presence itself. */
const PRESENCE_HOOK_BYTES_MAX = 200;

/** What a page loads that uses these names of an entry, and which packages it asks for. */
async function bundle(
  entry: string,
  names = "*",
  external: readonly string[] = [],
): Promise<{ readonly bytes: number; readonly packages: readonly string[] }> {
  const stdin = { contents: `export ${names} from "./src/${entry}";`, resolveDir: process.cwd() };
  const options = { bundle: true, minify: true, write: false, metafile: true, format: "esm", target: "es2022" } as const;
  const { outputFiles, metafile } = await build({ stdin, packages: "external", external: [...external], ...options });
  const packages = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  return { bytes: gzipSync(outputFiles[0]!.contents, { level: 9 }).length, packages: [...new Set(packages)] };
}

test("the client is at most 8 kB, minified and gzipped, and brings no package with it", async () => {
  const { bytes, packages } = await bundle("client.ts");
  console.log(`throughline/client: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(CLIENT_BYTES_MAX);
  expect(packages).toEqual([]);
});

test("presence is at most 2.5 kB, and brings no package with it", async () => {
  const { bytes, packages } = await bundle("presence.ts");
  console.log(`throughline/presence: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(PRESENCE_BYTES_MAX);
  expect(packages).toEqual([]);
});

test("the React hooks are at most 1 kB, with that of presence a little more, and bring no package but React", async () => {
  const hooks = await bundle("react.ts", "{ ThroughlineProvider, useChannel, useClient, useConnection }");
  console.log(`throughline/react: ${hooks.bytes} bytes gzipped`);
  expect(hooks.bytes).toBeLessThanOrEqual(HOOKS_BYTES_MAX);
  expect(hooks.packages).toEqual(["react"]);
  const all = await bundle("react.ts", "*", ["*/client/presence.ts"]);
  expect(all.bytes).toBeLessThanOrEqual(HOOKS_BYTES_MAX + PRESENCE_HOOK_BYTES_MAX);
});
