import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The repository's root, with a slash at its end. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Path to text, paths from the tree's root with `/`. The finders read nothing else, so that a test can plant a small tree with faults in it. */
export type Tree = ReadonlyMap<string, string>;

/** Folders that git does not track. */
const UNTRACKED = /^(node_modules|dist|dist-client|\.git|\.bench|\.dist-.*)$/;

/** The files below `folder` (from the root; "" is all of it) whose paths match. */
export function readTree(folder: string, matches: RegExp): Tree {
  const tree = new Map<string, string>();
  const visit = (path: string): void => {
    for (const name of readdirSync(join(ROOT, path)).sort()) {
      const inner = path === "" ? name : `${path}/${name}`;
      if (UNTRACKED.test(name) || inner === "data") continue;
      const stat = statSync(join(ROOT, inner), { throwIfNoEntry: false });
      if (stat?.isDirectory()) visit(inner);
      else if (stat?.isFile() && matches.test(inner)) tree.set(inner, readFileSync(join(ROOT, inner), "utf8"));
    }
  };
  if (existsSync(join(ROOT, folder))) visit(folder);
  return tree;
}

/** The text of one file from the root. Throws a plain sentence if there is none. */
export function readText(path: string): string {
  if (!existsSync(join(ROOT, path))) throw new Error(`${path} does not exist yet.`);
  return readFileSync(join(ROOT, path), "utf8");
}

/** The source itself, with paths from `src/`, without tests. */
export function readHouse(): Tree {
  const files = [...readTree("src", /\.tsx?$/)].filter(([path]) => !isTest(path));
  return new Map(files.map(([path, text]) => [path.slice("src/".length), text]));
}

/** Everything that tests or is a test, except the house tests, whose planted faults would answer for the real thing. */
export function readTests(): Tree {
  const tests = [...readTree("test", /\.tsx?$/)].filter(([path]) => !path.startsWith("test/house/"));
  const beside = [...readTree("src", /\.tsx?$/)].filter(([path]) => isTest(path) || path.startsWith("src/conformance/"));
  return new Map([...tests, ...beside]);
}

const isTest = (path: string): boolean => /\.(test|test-d)\.tsx?$/.test(path);

/** The syntax tree of a file: comments and strings are told apart from code by the compiler, not by a guess. */
export function parse(path: string, text: string): ts.SourceFile {
  const kind = path.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS;
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, kind);
}

/** Calls `look` for every node of a file. */
export function walk(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  ts.forEachChild(node, (child) => walk(child, look));
}

/** `path:line` of a node, as an editor opens it. */
export function placeOf(path: string, node: ts.Node): string {
  const source = node.getSourceFile();
  return `${path}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`;
}

/** The texts of a file's string literals and of the fixed parts of its templates. */
export function stringsOf(path: string, text: string): string[] {
  const strings: string[] = [];
  walk(parse(path, text), (node) => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) strings.push(node.text);
  });
  return strings;
}
