#!/usr/bin/env node
// Builds dist/ (the package `throughline`) and dist-client/ (the package `@throughline/client`) from src/.
//
//   node scripts/build.js           does nothing if nothing has changed since the last build
//   node scripts/build.js --force
//
// Both are written beside the old ones and put in their place by a rename at the end, so that a build that fails leaves the old
// ones as they were, and two builds at once do not tread on each other.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampFile = join(root, "node_modules/.cache/throughline/build-stamp");
const CLIENT_ENTRIES = ["client", "presence", "react"];
/** The client package names what its user may have and it never installs: React for the hooks, `ws` for a Node without WebSocket. */
const CLIENT_PEERS = { react: ">=18", ws: ">=8" };

// Group 1: what comes before the path, 2: the path without its extension, 3: its extension
const RELATIVE_IMPORT = /(\bfrom\s*["']|\bimport\s*\(?\s*["'])(\.{1,2}\/[^"']+?)(\.tsx?|\.js)(?=["'])/g;

const CLIENT_README = `# @throughline/client

The client of [Throughline](https://www.npmjs.com/package/throughline) by itself, without the server and without dependencies.
It is the same code as \`throughline/client\`, \`throughline/presence\` and \`throughline/react\`, and has the same version.

\`\`\`ts
import { connect } from "@throughline/client";

const lobby = connect("/realtime").channel("chat/lobby");
lobby.subscribe((message) => console.log(message.data));
await lobby.publish("message", { text: "hello" });
\`\`\`

React hooks are in \`@throughline/client/react\`. The documents are those of \`throughline\`.
`;

const stamp = stampOf(["src", "scripts/build.js", "package.json", "tsconfig.json", "tsconfig.build.json", "LICENSE"]);
const built = existsSync(join(root, "dist")) && existsSync(join(root, "dist-client")) && existsSync(stampFile);
if (!process.argv.includes("--force") && built && readFileSync(stampFile, "utf8") === stamp) {
  console.log("dist is up to date.");
} else {
  process.exitCode = await build();
}

async function build() {
  const began = performance.now();
  const next = join(root, `.dist-next-${process.pid}`);
  const nextClient = join(root, `.dist-client-next-${process.pid}`);
  try {
    if (!compile(next)) return 1;
    renameInTypes(next);
    await bundlePage(join(root, "src/server/page"), join(next, "server/page"));
    await writeClient(next, nextClient);
    putInPlace(next, join(root, "dist"));
    putInPlace(nextClient, join(root, "dist-client"));
    mkdirSync(dirname(stampFile), { recursive: true });
    writeFileSync(stampFile, stamp);
    console.log(`Built dist and dist-client in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
    return 0;
  } catch (error) {
    console.error(`The build failed: ${error instanceof Error ? error.message : error}`);
    return 1;
  } finally {
    rmSync(next, { recursive: true, force: true });
    rmSync(nextClient, { recursive: true, force: true });
  }
}

/** Path, size and time of every source: cheap, and enough to see a change. */
function stampOf(paths) {
  const hash = createHash("sha256").update(process.version);
  const visit = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) {
      for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`);
    } else if (!/\.test\.tsx?$/.test(path)) {
      hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\n`);
    }
  };
  for (const path of paths) visit(path);
  return hash.digest("hex");
}

/** `tsc` itself, so that what is published is what is checked. */
function compile(outDir) {
  const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
  if (!existsSync(tsc)) throw new Error("TypeScript is not installed. Run `npm ci` first.");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", outDir, "--noEmitOnError"], {
    cwd: root,
    stdio: "inherit",
  });
  return status === 0;
}

/** `tsc` rewrites `./x.ts` to `./x.js` in code and not in declarations; there it reads well only to the newest compilers. */
function renameInTypes(folder) {
  for (const name of readdirSync(folder, { recursive: true })) {
    if (!name.endsWith(".d.ts")) continue;
    const text = readFileSync(join(folder, name), "utf8");
    writeFileSync(join(folder, name), text.replace(RELATIVE_IMPORT, "$1$2.js"));
  }
}

/** The live page of `throughline dev`: its script as one file for browsers, all else as it is. */
async function bundlePage(from, to) {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    if (!name.endsWith(".ts") && statSync(join(from, name)).isFile()) copyFileSync(join(from, name), join(to, name));
  }
  if (existsSync(join(from, "main.ts"))) {
    await bundle({
      entryPoints: [join(from, "main.ts")],
      outfile: join(to, "main.js"),
      format: "esm",
      platform: "browser",
      minify: true,
      external: ["ws"],
    });
  }
}

/** `@throughline/client`: the same client from the same source, for those who want no server; it has no dependencies. */
async function writeClient(dist, to) {
  const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = CLIENT_ENTRIES.filter((name) => existsSync(join(root, `src/${name}.ts`)));
  mkdirSync(to, { recursive: true });
  if (entries.length > 0) {
    await bundle({
      entryPoints: entries.map((name) => join(root, `src/${name}.ts`)),
      outdir: to,
      format: "esm",
      platform: "neutral",
      splitting: true,
      chunkNames: "shared-[hash]",
      external: Object.keys(CLIENT_PEERS),
    });
    copyTypes(
      dist,
      entries.map((name) => `${name}.d.ts`),
      to,
    );
  }
  const manifest = {
    name: "@throughline/client",
    version: own.version,
    description: "The client of Throughline for browsers and Node: durable, ordered channels over Server-Sent Events and WebSocket.",
    license: own.license,
    type: "module",
    engines: own.engines,
    sideEffects: false,
    exports: {
      ".": { types: "./client.d.ts", default: "./client.js" },
      "./presence": { types: "./presence.d.ts", default: "./presence.js" },
      "./react": { types: "./react.d.ts", default: "./react.js" },
      "./package.json": "./package.json",
    },
    peerDependencies: CLIENT_PEERS,
    peerDependenciesMeta: Object.fromEntries(Object.keys(CLIENT_PEERS).map((name) => [name, { optional: true }])),
  };
  writeFileSync(join(to, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(join(to, "README.md"), CLIENT_README);
  if (existsSync(join(root, "LICENSE"))) copyFileSync(join(root, "LICENSE"), join(to, "LICENSE"));
}

/** The declarations that the entries reach, and no others. */
function copyTypes(from, entries, to) {
  const waiting = [...entries];
  const seen = new Set(waiting);
  for (const file of waiting) {
    const text = readFileSync(join(from, file), "utf8").replace(/^\/\/# sourceMappingURL=.*\n?/m, "");
    mkdirSync(dirname(join(to, file)), { recursive: true });
    writeFileSync(join(to, file), text);
    for (const [, , path] of text.matchAll(RELATIVE_IMPORT)) {
      const target = `${posix.join(posix.dirname(file), path)}.d.ts`;
      if (seen.has(target)) continue;
      seen.add(target);
      waiting.push(target);
    }
  }
}

async function bundle(options) {
  const { build } = await import("esbuild");
  await build({ absWorkingDir: root, bundle: true, target: "es2022", legalComments: "none", logLevel: "error", ...options });
}

function putInPlace(next, place) {
  const old = `${join(root, ".dist-old-")}${process.pid}-${relative(root, place)}`;
  for (let tries = 1; ; tries++) {
    if (existsSync(place)) renameQuietly(place, old);
    try {
      renameSync(next, place);
      break;
    } catch (error) {
      // Another build has put its own there in between.
      if (tries === 5) throw error;
      rmSync(old, { recursive: true, force: true });
    }
  }
  rmSync(old, { recursive: true, force: true });
}

function renameQuietly(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}
