import { posix } from "node:path";
import ts from "typescript";
import { ROOT, type Tree } from "./source.ts";

/** A block of code in a document. */
export interface Block {
  readonly document: string;
  /** Where its first line stands, counted from 1. */
  readonly line: number;
  readonly language: string;
  /** What a first line such as `// line.ts` calls it, so that other blocks of the document may import it; null if it has no name. */
  readonly name: string | null;
  readonly text: string;
}

const FENCE = /^```(\w*)/;

/** The blocks of code between fences. */
export function blocksOf(document: string, text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let begin = 0; begin < lines.length; begin++) {
    const language = FENCE.exec(lines[begin]!)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf("```", begin + 1);
    if (end < 0) throw new Error(`${document}:${begin + 1}: this block of code does not end.`);
    const code = lines.slice(begin + 1, end);
    const name = /^\/\/ ([\w-]+\.ts)\b/.exec(code[0] ?? "")?.[1] ?? null;
    blocks.push({ document, line: begin + 2, language, name, text: code.join("\n") });
    begin = end;
  }
  return blocks;
}

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"],
  types: ["node"],
  jsx: ts.JsxEmit.ReactJSX,
  strict: true,
  skipLibCheck: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  // As the package gives them, but from source, so that nothing needs to be built first
  paths: Object.fromEntries(
    ["throughline", "@throughline/client"].flatMap((name) => [
      [name, [`${ROOT}src/${name === "throughline" ? "index" : "client"}.ts`]],
      [`${name}/*`, [`${ROOT}src/*.ts`]],
    ]),
  ),
};

/** The source and the libraries, which several programs share. */
const PARSED = new Map<string, ts.SourceFile | undefined>();

/** What the compiler has against blocks of TypeScript, each a module by itself. `names` declares what such code takes from its application. */
export function findTypeFaults(blocks: readonly Block[], names: string): string[] {
  const files = new Map<string, Block>();
  for (const [index, block] of blocks.entries()) {
    const name = block.name ?? `block ${index}.${block.language}`;
    files.set(`${ROOT}.documents/${block.document}/${name}`, block);
  }
  const namesFile = `${ROOT}.documents/names.d.ts`;
  const textOf = (path: string): string | undefined => (path === namesFile ? names : files.get(path)?.text);
  const host = ts.createCompilerHost(OPTIONS);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => textOf(path) !== undefined || fileExists(path);
  host.readFile = (path) => textOf(path) ?? readFile(path);
  host.getSourceFile = (path, options) => {
    if (textOf(path) !== undefined) return getSourceFile(path, options);
    if (!PARSED.has(path)) PARSED.set(path, getSourceFile(path, options));
    return PARSED.get(path);
  };
  // The folder of the blocks is nowhere; with this the compiler looks for their files all the same
  delete host.directoryExists;
  const program = ts.createProgram([namesFile, ...files.keys()], OPTIONS, host);
  return [...files].flatMap(([path, { document, line }]) => {
    const source = program.getSourceFile(path);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found.map(({ start = 0, messageText }) => {
      const at = source!.getLineAndCharacterOfPosition(start).line + line;
      return `${document}:${at}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    });
  });
}

/** A document without its blocks of code, with as many lines. */
function proseOf(text: string): string[] {
  let isCode = false;
  return text.split("\n").map((line) => {
    const isFence = FENCE.test(line);
    if (isFence) isCode = !isCode;
    return isCode || isFence ? "" : line;
  });
}

/** The names by which GitHub links to the headings of a document. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of proseOf(text)) {
    const heading = /^#{1,6} +(.*?) *$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "");
    const anchor = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Links of documents to files, folders or headings that are not there. `exists` is asked for what is no document, by its path from the root. */
export function findDeadLinks(documents: Tree, exists: (path: string) => boolean): string[] {
  const dead: string[] = [];
  for (const [document, text] of documents) {
    for (const [index, line] of proseOf(text).entries()) {
      for (const [, target = ""] of line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const to = path === "" ? document : posix.join(posix.dirname(document), path);
        const read = documents.get(to);
        const isThere = read === undefined ? exists(to) : anchor === undefined || anchorsOf(read).has(anchor);
        if (!isThere) dead.push(`${document}:${index + 1}: ${target}`);
      }
    }
  }
  return dead;
}

/** Scripts of npm that documents name and package.json does not have. */
export function findUnknownScripts(documents: Tree, scripts: readonly string[]): string[] {
  return findIn(documents, /\bnpm (?:run (?:--silent )?([\w:-]+)|(start|test)\b)/g, (named) => scripts.includes(named));
}

/** Source files that documents name between backquotes and that are not there: `core/log.ts` stands for any path that ends so. */
export function findUnknownFiles(documents: Tree, paths: readonly string[]): string[] {
  const isKnown = (named: string) => paths.some((path) => path === named || path.endsWith(`/${named}`));
  return findIn(documents, /`([\w./-]+\.(?:ts|tsx|js|c|md|json))`/g, isKnown);
}

/** Options of a command line that documents give to `throughline <command>`, and that this command does not have. */
export function findUnknownOptions(documents: Tree, optionsOf: ReadonlyMap<string, readonly string[]>): string[] {
  const faults: string[] = [];
  for (const [document, text] of documents) {
    for (const [index, line] of text.split("\n").entries()) {
      for (const [, command = "", rest = ""] of line.matchAll(/\bthroughline (\w+)\b((?:(?!\bthroughline )[^`|])*)/g)) {
        const known = optionsOf.get(command);
        if (known === undefined) continue;
        for (const [option] of rest.matchAll(/(?<![\w-])--[a-z][\w-]*/g)) {
          if (!known.includes(option)) faults.push(`${document}:${index + 1}: throughline ${command} ${option}`);
        }
      }
    }
  }
  return faults;
}

function findIn(documents: Tree, pattern: RegExp, isKnown: (named: string) => boolean): string[] {
  return [...documents].flatMap(([document, text]) =>
    text.split("\n").flatMap((line, index) =>
      [...line.matchAll(pattern)]
        .map(([, first, second]) => first ?? second ?? "")
        .filter((named) => !isKnown(named))
        .map((named) => `${document}:${index + 1}: ${named}`),
    ),
  );
}
