import { existsSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ROOT, readText, readTree } from "./source.ts";
import { findMachinePaths } from "./words.ts";

describe("The tree", () => {
  test("names no path of anybody's machine", () => {
    const tree = readTree("", /(\.(tsx?|m?js|jsonc?|md|css|html|sh|c|h|ya?ml|lua|txt|conf|cfg)|\/run|file)$/i);
    expect(findMachinePaths(new Map([...tree].filter(([path]) => !path.startsWith("test/house/"))))).toEqual([]);
  });

  test("the lock file takes packages from the public registry only", () => {
    const foreign = [...readText("package-lock.json").matchAll(/"resolved": "(https?:\/\/[^"]+)"/g)]
      .map(([, url]) => url as string)
      .filter((url) => !url.startsWith("https://registry.npmjs.org/"));
    expect(foreign).toEqual([]);
  });

  test("what is to be run can be run", () => {
    const programs = [".ci/run", "bin/throughline.js"];
    const dead = programs.filter((path) => !existsSync(ROOT + path) || (statSync(ROOT + path).mode & 0o111) !== 0o111);
    expect(dead, "missing, or without the executable bit").toEqual([]);
  });

  test("the check finds the paths of a machine, and leaves URLs and relative paths alone", () => {
    const planted = new Map([
      [
        "a.md",
        "see /work/app/x\ncd /home/ann\nhttps://example.com/home/ann\n../work/x and a/home/b\n`/Users/ann`\n/workers/x and /home alone",
      ],
    ]);
    expect(findMachinePaths(planted)).toEqual(["a.md:1: see /work/app/x", "a.md:2: cd /home/ann", "a.md:5: `/Users/ann`"]);
  });
});
