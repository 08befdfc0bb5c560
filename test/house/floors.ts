import { posix } from "node:path";
import ts from "typescript";
import { parse, placeOf, type Tree, walk } from "./source.ts";

/**
 * The plan of the house: which room may use which. This table is the architecture diagram.
 * `node:` is Node itself; `npm:x` a package; `type npm:x` only its types; `dynamic npm:x` only one `await import("x")`.
 */
export const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  wire: ["protocol"],
  core: ["protocol"],
  transports: ["protocol", "wire", "core"],
  engines: ["protocol", "core", "node:", "npm:lmdb"],
  client: ["protocol", "wire", "dynamic npm:ws"],
  adapters: [
    "protocol",
    "wire",
    "core",
    "transports",
    "engines",
    "node:",
    "npm:ws",
    "type npm:express",
    "type npm:fastify",
    "type npm:hono",
    "type npm:@hono/node-server",
  ],
  doors: ["protocol", "core"],
  react: ["protocol", "client", "npm:react"],
  conformance: ["protocol", "wire", "core", "transports", "client"],
  server: [
    "protocol",
    "wire",
    "core",
    "transports",
    "engines",
    "client",
    "adapters",
    "doors",
    "react",
    "conformance",
    "node:",
    "npm:commander",
    "dynamic npm:redis",
    "dynamic npm:ioredis",
    "dynamic npm:@nats-io/transport-node",
  ],
};

/** Packages that one engine alone may use. */
const ONE_ENGINE: Readonly<Record<string, string>> = { "npm:lmdb": "disk" };

export const LINES_MAX = 400;

interface Use {
  /** A path from `src/`, or `node:`, or `npm:<package>`, or `outside:<path>`, or `unknown`. */
  readonly to: string;
  readonly kind: "value" | "type" | "dynamic";
  readonly place: string;
}

/** What a file imports or exports from elsewhere: statically, dynamically, and in types. */
export function usesOf(path: string, text: string): Use[] {
  const uses: Use[] = [];
  walk(parse(path, text), (node) => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause;
      const named = clause?.namedBindings !== undefined && ts.isNamedImports(clause.namedBindings) ? clause.namedBindings.elements : [];
      const onlyTypes =
        clause !== undefined &&
        (clause.phaseModifier === ts.SyntaxKind.TypeKeyword ||
          (clause.name === undefined && named.length > 0 && named.every((each) => each.isTypeOnly)));
      add(node.moduleSpecifier, onlyTypes ? "type" : "value", node);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      const named = node.exportClause !== undefined && ts.isNamedExports(node.exportClause) ? node.exportClause.elements : [];
      add(node.moduleSpecifier, node.isTypeOnly || (named.length > 0 && named.every((each) => each.isTypeOnly)) ? "type" : "value", node);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], "dynamic", node);
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, "type", node);
    } else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
      add(node.moduleReference.expression, "value", node);
    }
  });
  return uses;

  function add(specifier: ts.Node | undefined, kind: Use["kind"], node: ts.Node): void {
    const to = specifier !== undefined && ts.isStringLiteralLike(specifier) ? resolve(path, specifier.text) : "unknown";
    uses.push({ to, kind, place: placeOf(path, node) });
  }
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith("node:")) return "node:";
  if (!specifier.startsWith(".")) return `npm:${/^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0]}`;
  const path = posix.join(posix.dirname(from), specifier);
  return path.startsWith("..") ? `outside:${path}` : path;
}

/** The folder directly in `src/`; undefined for the export files. */
const roomOf = (path: string): string | undefined => (path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined);
/** `disk` for `engines/disk/store.ts` and for `engines/disk.ts`. */
const engineOf = (path: string): string => (path.split("/")[1] ?? "").replace(/\.tsx?$/, "");

/** Imports that go up, sideways, out of the house, or where nobody can see. */
export function findTrespasses(tree: Tree): string[] {
  const faults: string[] = [];
  const dynamicSeen = new Set<string>();
  for (const [path, text] of tree) {
    const room = roomOf(path);
    if (room !== undefined && MAY_USE[room] === undefined) faults.push(`${path}: there is no room ${room} in the plan of the house`);
    for (const { to, kind, place } of usesOf(path, text)) {
      const fault = faultOf(path, room, to, kind);
      if (fault !== undefined) faults.push(`${place}: ${fault}`);
    }
  }
  return faults;

  function faultOf(path: string, room: string | undefined, to: string, kind: Use["kind"]): string | undefined {
    if (to === "unknown") return "imports what only run time knows; write the name as a string";
    if (to.startsWith("outside:")) return `imports ${to.slice("outside:".length)}, which is not in src`;
    const isPackage = to.startsWith("npm:") || to === "node:";
    if (!isPackage && !tree.has(to)) return `imports ${to}, which does not exist`;
    if (room === undefined) return isPackage ? `an export file lists names of the rooms and uses no ${to}` : undefined;
    const may = MAY_USE[room] ?? [];
    if (isPackage) {
      if (kind === "type" && may.includes(`type ${to}`)) return undefined;
      if (kind === "dynamic" && may.includes(`dynamic ${to}`)) {
        if (!dynamicSeen.has(`${room} ${to}`)) {
          dynamicSeen.add(`${room} ${to}`);
          return undefined;
        }
        return `${room} may import ${to} dynamically in one place only`;
      }
      if (!may.includes(to)) return `${room} may not use ${to}${may.includes(`type ${to}`) ? " but for its types" : ""}`;
      const engine = ONE_ENGINE[to];
      if (room === "engines" && engine !== undefined && engineOf(path) !== engine) return `only engines/${engine} may use ${to}`;
      return undefined;
    }
    const target = roomOf(to);
    if (target === undefined) return `imports ${to}, an export file; import from the room itself`;
    if (target !== room) return may.includes(target) ? undefined : `${room} may not use ${target} (${to})`;
    const shared = to.split("/").length === 2;
    if (room === "engines" && !shared && engineOf(path) !== engineOf(to)) {
      return `the engine ${engineOf(path)} may not use the engine ${engineOf(to)} (${to}); what both need stands directly in engines/`;
    }
    return undefined;
  }
}

/** Files that import one another, types included. Each circle is told at least once. */
export function findCircles(tree: Tree): string[] {
  const uses = new Map([...tree].map(([path, text]) => [path, new Set(usesOf(path, text).map(({ to }) => to))]));
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) {
      circles.push([...trail.slice(seen), path].join(" > "));
      return;
    }
    if (done.has(path)) return;
    for (const to of uses.get(path) ?? []) if (tree.has(to)) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of tree.keys()) visit(path, []);
  return circles;
}

/** Files above the ceiling. */
export function findLong(tree: Tree): string[] {
  return [...tree]
    .map(([path, text]) => ({ path, lines: text.replace(/\n$/, "").split("\n").length }))
    .filter(({ lines }) => lines > LINES_MAX)
    .map(({ path, lines }) => `${path} has ${lines} lines; at most ${LINES_MAX}. It is more than one noun or verb: split it.`);
}

/** Whatever in a file directly in `src/` is not a list of names from a room. */
export function findCodeInExports(tree: Tree): string[] {
  const faults: string[] = [];
  for (const [path, text] of tree) {
    if (roomOf(path) !== undefined) continue;
    for (const statement of parse(path, text).statements) {
      const isList =
        ts.isExportDeclaration(statement) &&
        statement.moduleSpecifier !== undefined &&
        statement.exportClause !== undefined &&
        ts.isNamedExports(statement.exportClause);
      if (!isList) faults.push(`${placeOf(path, statement)}: an export file holds only \`export { names } from "./room/file.ts"\``);
    }
  }
  return faults;
}

/** What reaches for time, chance, timers, sockets or Node by a global name. `node:` and packages are the floors' business. */
const IMPURE_GLOBALS = new Set([
  "setTimeout",
  "setInterval",
  "setImmediate",
  "process",
  "Buffer",
  "performance",
  "crypto",
  "fetch",
  "WebSocket",
  "EventSource",
  "XMLHttpRequest",
]);
const IMPURE_MEMBERS = new Set(["Date.now", "Math.random"]);

/** Time, chance, timers, sockets and Node in the files that `isPure` names. */
export function findImpurities(tree: Tree, isPure: (path: string) => boolean): string[] {
  const faults: string[] = [];
  for (const [path, text] of tree) {
    if (!isPure(path)) continue;
    walk(parse(path, text), (node) => {
      const name = impurityOf(node);
      if (name !== undefined)
        faults.push(`${placeOf(path, node)}: a pure file may not use ${name}; it is given a clock, chance and a pipe`);
    });
  }
  return faults;
}

function impurityOf(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const owner = node.expression.text;
    const full = `${owner}.${node.name.text}`;
    if (IMPURE_MEMBERS.has(full)) return full;
    if (/^(globalThis|window|self)$/.test(owner) && IMPURE_GLOBALS.has(node.name.text)) return full;
  }
  // `new Date(given)` reads what was given; `new Date()` and `Date()` read the clock
  if (ts.isNewExpression(node) && isNamed(node.expression, "Date") && !node.arguments?.length) return "new Date()";
  if (ts.isCallExpression(node) && isNamed(node.expression, "Date")) return "Date()";
  if (ts.isIdentifier(node) && IMPURE_GLOBALS.has(node.text) && isRead(node)) return node.text;
  return undefined;
}

const isNamed = (node: ts.Node, name: string): boolean => ts.isIdentifier(node) && node.text === name;

/** True where an identifier is a value that is read: not a name being given, not a member's name, not a type. */
function isRead(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  if ("name" in parent && parent.name === node) return false;
  if (ts.isBindingElement(parent) && parent.propertyName === node) return false;
  return !ts.isTypeNode(parent) && !ts.isQualifiedName(parent) && !ts.isImportSpecifier(parent) && !ts.isExportSpecifier(parent);
}
