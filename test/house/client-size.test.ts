import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

/** The promise of the README. 6,000 is the aim. */
const CLIENT_BYTES_MAX = 8_000;
const HOOKS_BYTES_MAX = 1_000;
const PRESENCE_BYTES_MAX = 2_500;

/** What a page loads of an entry, and which packages it asks for. */
async function bundle(
  entry: string,
  external: readonly string[] = [],
): Promise<{ readonly bytes: number; readonly packages: readonly string[] }> {
  const options = { bundle: true, minify: true, write: false, metafile: true, format: "esm", target: "es2022" } as const;
  const { outputFiles, metafile } = await build({ entryPoints: [entry], packages: "external", external: [...external], ...options });
  const packages = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  return { bytes: gzipSync(outputFiles[0]!.contents, { level: 9 }).length, packages: [...new Set(packages)] };
}

test("the client is at most 8 kB, minified and gzipped, and brings no package with it", async () => {
  const { bytes, packages } = await bundle("src/client.ts");
  console.log(`throughline/client: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(CLIENT_BYTES_MAX);
  expect(packages).toEqual([]);
});

test("presence is at most 2.5 kB beside the client, and brings no package with it", async () => {
  const { bytes, packages } = await bundle("src/presence.ts");
  console.log(`throughline/presence: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(PRESENCE_BYTES_MAX);
  expect(packages).toEqual([]);
});

test("the React hooks are at most 1 kB, and bring no package but React", async () => {
  // A bundler leaves out what a page does not use, and `usePresence` alone uses presence
  const { bytes, packages } = await bundle("src/react.ts", ["*/client/presence.ts"]);
  console.log(`throughline/react: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(HOOKS_BYTES_MAX);
  expect(packages.filter((path) => !path.includes("client/presence"))).toEqual(["react"]);
});
