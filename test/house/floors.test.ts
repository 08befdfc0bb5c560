import { describe, expect, test } from "vitest";
import { findCircles, findCodeInExports, findImpurities, findLong, findTrespasses, LINES_MAX } from "./floors.ts";
import { readHouse, type Tree } from "./source.ts";

const house = readHouse();

/**
 * The client's shell: it carries decisions out, by timers, sockets and the browser. Everything else in client/ decides, and is pure.
 * A file is added here with the sentence why it must touch the world.
 */
const CLIENT_SHELL: Readonly<Record<string, string>> = {
  "client/system.ts": "the world as the client meets it: time, chance, fetch and WebSocket, each of which an application may replace",
};

const isPure = (path: string): boolean =>
  /^(protocol|wire|core)\//.test(path) || (path.startsWith("client/") && !Object.hasOwn(CLIENT_SHELL, path));

describe("The house", () => {
  test("imports go down, never up or sideways, and packages stay in their rooms", () => {
    expect(findTrespasses(house)).toEqual([]);
  });

  test("no files import one another in a circle, types included", () => {
    expect(findCircles(house)).toEqual([]);
  });

  test("the files directly in src/ are lists of names", () => {
    expect(findCodeInExports(house)).toEqual([]);
  });

  test(`no file is longer than ${LINES_MAX} lines`, () => {
    expect(findLong(house)).toEqual([]);
  });

  test("the pure rooms touch no time, chance, timer, socket or Node", () => {
    expect(findImpurities(house, isPure)).toEqual([]);
  });

  test("the client's shell is no larger than it needs to be", () => {
    const idle = Object.keys(CLIENT_SHELL).filter((path) => findImpurities(house, (each) => each === path).length === 0);
    expect(idle, "these files are pure, or gone: take them off CLIENT_SHELL").toEqual([]);
  });
});

describe("The checks themselves", () => {
  test("find every import that trespasses", () => {
    expect(
      findTrespasses(
        plant({
          "protocol/message.ts": `import { hub } from "../core/hub.ts";`,
          "core/hub.ts": `import type { Message } from "../protocol/message.ts";\nexport type { Codec } from "../wire/codec.ts";`,
          "wire/codec.ts": `export interface Codec {}\nimport { readFileSync } from "node:fs";`,
          "engines/pages.ts": `export const pages = 1;`,
          "engines/memory/log.ts": `import { pages } from "../pages.ts";\nimport { store } from "../disk/store.ts";\nimport { open } from "lmdb";`,
          "engines/disk/store.ts": `import { open } from "lmdb";\nimport { join } from "node:path";`,
          "client/socket.ts": `const { WebSocket } = await import("ws");\nimport("../core/hub.ts");`,
          "client/other.ts": `const { WebSocket } = await import("ws");\nconst more = await import(name);`,
          "client/third.ts": `import { WebSocket } from "ws";\ntype Hub = import("../core/hub.ts").Hub;`,
          "adapters/express.ts": `import type { Request } from "express";\nimport { type Response } from "express";\nimport { Router } from "express";`,
          "adapters/index.ts": `import { everything } from "../index.ts";\nimport own from "../../package.json";\nimport { lost } from "./lost.ts";`,
          "attic/box.ts": `export const box = 1;`,
          "index.ts": `export { hub } from "./core/hub.ts";\nexport { WebSocket } from "ws";`,
        }),
      ),
    ).toMatchInlineSnapshot(`
      [
        "protocol/message.ts:1: protocol may not use core (core/hub.ts)",
        "core/hub.ts:2: core may not use wire (wire/codec.ts)",
        "wire/codec.ts:2: wire may not use node:",
        "engines/memory/log.ts:2: the engine memory may not use the engine disk (engines/disk/store.ts); what both need stands directly in engines/",
        "engines/memory/log.ts:3: only engines/disk may use npm:lmdb",
        "client/socket.ts:2: client may not use core (core/hub.ts)",
        "client/other.ts:1: client may import npm:ws dynamically in one place only",
        "client/other.ts:2: imports what only run time knows; write the name as a string",
        "client/third.ts:1: client may not use npm:ws",
        "client/third.ts:2: client may not use core (core/hub.ts)",
        "adapters/express.ts:3: adapters may not use npm:express but for its types",
        "adapters/index.ts:1: imports index.ts, an export file; import from the room itself",
        "adapters/index.ts:2: imports ../package.json, which is not in src",
        "adapters/index.ts:3: imports adapters/lost.ts, which does not exist",
        "attic/box.ts: there is no room attic in the plan of the house",
        "index.ts:2: an export file lists names of the rooms and uses no npm:ws",
      ]
    `);
  });

  test("find circles, of types too, and of a file with itself", () => {
    expect(
      findCircles(
        plant({
          "core/a.ts": `import { b } from "./b.ts";`,
          "core/b.ts": `export type { C } from "./c.ts";`,
          "core/c.ts": `import type { A } from "./a.ts";`,
          "core/alone.ts": `type Own = import("./alone.ts").Own;`,
          "core/straight.ts": `import { a } from "./a.ts";`,
        }),
      ),
    ).toEqual(["core/a.ts > core/b.ts > core/c.ts > core/a.ts", "core/alone.ts > core/alone.ts"]);
  });

  test("find code in an export file", () => {
    const planted = plant({
      "index.ts": `// why\nexport { hub, type Hub } from "./core/hub.ts";\nexport type { Log } from "./core/log.ts";`,
      "client.ts": `export * from "./client/connect.ts";\nexport const version = 1;\nimport "./client/connect.ts";`,
      "core/hub.ts": `export const hub = 1;`,
    });
    expect(findCodeInExports(planted).map((fault) => fault.split(":", 2).join(":"))).toEqual(["client.ts:1", "client.ts:2", "client.ts:3"]);
  });

  test("find a long file", () => {
    const planted = plant({ "core/long.ts": "x;\n".repeat(LINES_MAX + 1), "core/full.ts": "x;\n".repeat(LINES_MAX) });
    expect(findLong(planted)).toEqual([expect.stringContaining("core/long.ts has 401 lines")]);
  });

  test("find what is impure, and only that", () => {
    const planted = plant({
      "core/bad.ts": [
        "const at = Date.now();",
        "const chance = Math.random() + crypto.getRandomValues(bytes)[0];",
        "setTimeout(act, 10); globalThis.setInterval(act, 10); const later = setImmediate;",
        "process.exit(); Buffer.from(text);",
        "const today = new Date(); const text = Date();",
        "const options = { timer: setTimeout, process }; function wait(start = performance.now()) {}",
        "new WebSocket(url); await fetch(url);",
      ].join("\n"),
      "core/good.ts": [
        "// Date.now() and setTimeout are not used here, nor is process.",
        "const text = 'Buffer.from and Math.random()';",
        "const given = new Date(atMs).toISOString() + Date.parse(text);",
        "interface Clock { setTimeout(): void; readonly process: number }",
        "clock.setTimeout(10); frame.process; const { fetch: ask } = given; const made = { Buffer: 1 };",
        "let socket: WebSocket; type Own = typeof import('./good.ts');",
      ].join("\n"),
      "server/clock.ts": "Date.now();",
    });
    const faults = findImpurities(planted, (path) => path.startsWith("core/"));
    expect(faults.map((fault) => fault.replace(/: a pure file may not use (.*);.*/, " $1"))).toMatchInlineSnapshot(`
      [
        "core/bad.ts:1 Date.now",
        "core/bad.ts:2 Math.random",
        "core/bad.ts:2 crypto",
        "core/bad.ts:3 setTimeout",
        "core/bad.ts:3 globalThis.setInterval",
        "core/bad.ts:3 setImmediate",
        "core/bad.ts:4 process",
        "core/bad.ts:4 Buffer",
        "core/bad.ts:5 new Date()",
        "core/bad.ts:5 Date()",
        "core/bad.ts:6 setTimeout",
        "core/bad.ts:6 process",
        "core/bad.ts:6 performance",
        "core/bad.ts:7 WebSocket",
        "core/bad.ts:7 fetch",
      ]
    `);
  });
});

function plant(files: Record<string, string>): Tree {
  return new Map(Object.entries(files));
}
