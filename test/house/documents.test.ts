import { existsSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { run } from "../../src/server/cli.ts";
import {
  anchorsOf,
  blocksOf,
  findDeadLinks,
  findTypeFaults,
  findUnknownFiles,
  findUnknownOptions,
  findUnknownScripts,
} from "./documents.ts";
import { ROOT, readText, readTree } from "./source.ts";

const documents = readTree("", /\.md$/);
/** What people read to use it and to work on it; the evidence is written by a script and names what a run was made of. */
const written = new Map([...documents].filter(([path]) => path !== "docs/evidence.md" && path !== "CHANGELOG.md"));

/** What the code in the documents takes from its application. */
const NAMES = `
declare function verify(token: string): { id: string; expiresAt: number } | false;
declare const rooms: { rename(room: string | undefined, to: unknown): Promise<void> };
declare const lobby: import("throughline/client").Channel;
declare const saved: string;
declare function persist(message: import("throughline/client").Message): Promise<void>;
declare function render(data: unknown, position: string): void;
declare function reload(gap: import("throughline/client").Gap): void;
declare function show(members: readonly import("throughline/presence").Member[]): void;
`;

/** A compiler takes its time on a busy machine. */
const PATIENT = { timeout: 240_000 };

describe("The documents", () => {
  test("each block of TypeScript in them compiles, strictly, against the source", PATIENT, () => {
    const blocks = [...documents].flatMap(([path, text]) => blocksOf(path, text)).filter(({ language }) => /^tsx?$/.test(language));
    expect(blocks.length).toBeGreaterThan(5);
    expect(findTypeFaults(blocks, NAMES)).toEqual([]);
  });

  test("each link in them leads to a file and a heading that is there", () => {
    expect(findDeadLinks(documents, (path) => existsSync(ROOT + path))).toEqual([]);
  });

  test("each npm script that they name is one of package.json", () => {
    expect(findUnknownScripts(documents, Object.keys(JSON.parse(readText("package.json")).scripts))).toEqual([]);
  });

  test("each source file that they name is there", () => {
    const paths = [...readTree("", /\.(ts|tsx|js|c|md|json)$/).keys()];
    const own = [...documents].flatMap(([path, text]) => blocksOf(path, text)).flatMap(({ name }) => name ?? []);
    expect(findUnknownFiles(written, [...paths, ...own])).toEqual([]);
  });

  test("each option that they give to a command is one of it", async () => {
    const options = new Map<string, string[]>();
    for (const command of ["dev", "pub", "sub", "history", "presence", "backup", "restore"]) {
      options.set(command, await optionsOf(command));
    }
    expect(options.get("sub")).toContain("--from");
    expect(findUnknownOptions(written, options)).toEqual([]);
  });
});

/** What a command says of itself. */
async function optionsOf(command: string): Promise<string[]> {
  let help = "";
  const writing = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    help += text;
    return true;
  });
  try {
    await run([command, "--help"]);
  } finally {
    writing.mockRestore();
  }
  return [...help.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([option]) => option);
}

describe("The checks themselves", () => {
  test("find code that does not compile, tell the line of the document, and let a block import another by its name", PATIENT, () => {
    const text = (...blocks: string[]) => blocks.map((code) => `\`\`\`ts\n${code}\n\`\`\`\n`).join("");
    const line = "// line.ts\nexport const tl = 1;";
    const importing = 'import { tl } from "./line.ts";\nexport const two: string = tl;';
    const wrong = text('import { memory } from "throughline";\nmemory({ retain: { countMax: "ten" } });', "known(nobody);");
    const blocks = [
      ...blocksOf("a.md", `Prose.\n\n${wrong}`),
      ...blocksOf("b.md", text(line, importing)),
      ...blocksOf("c.md", text(importing)),
    ];
    expect(findTypeFaults(blocks, "declare function known(value: unknown): void;")).toEqual([
      "a.md:5: Type 'string' is not assignable to type 'number'.",
      "a.md:8: Cannot find name 'nobody'.",
      "b.md:7: Type 'number' is not assignable to type 'string'.",
      expect.stringMatching(/^c\.md:2: Cannot find module '\.\/line\.ts'/),
    ]);
  });

  test("find links that lead nowhere", () => {
    const tree = new Map([
      ["README.md", "# One\n[a](docs/a.md) [b](docs/b.md) [c](#one) [d](#two) `[e](f.md)` [g](https://example.org/x)"],
      ["docs/a.md", "## A, `b` and [c](x.md): d\n## Twice\n## Twice\n[up](../README.md#one) [h](#a-b-and-c-d) [i](#twice-1) [j](src/)"],
    ]);
    expect(findDeadLinks(tree, (path) => path === "docs/src/")).toEqual([
      "README.md:2: docs/b.md",
      "README.md:2: #two",
      "docs/a.md:1: x.md",
    ]);
    expect([...anchorsOf("# 4.2 Pages and long-poll\n```\n# no heading\n```")]).toEqual(["42-pages-and-long-poll"]);
  });

  test("find scripts, files and options that are not there", () => {
    const tree = new Map([
      ["a.md", "npm run bench -- x, npm run --silent gone; npm start, npm test, npm ci, npm install\n`core/log.ts` `og.ts` `a.log`"],
      ["b.md", "    throughline dev --data x [--gone 1] | throughline pub c --data y\n`throughline pub` has --key"],
    ]);
    expect(findUnknownScripts(tree, ["bench", "start"])).toEqual(["a.md:1: gone", "a.md:1: test"]);
    expect(findUnknownFiles(tree, ["src/core/log.ts", "log.ts"])).toEqual(["a.md:2: og.ts"]);
    const options = new Map([
      ["dev", ["--data"]],
      ["pub", ["--event"]],
    ]);
    expect(findUnknownOptions(tree, options)).toEqual(["b.md:1: throughline dev --gone", "b.md:1: throughline pub --data"]);
  });
});
