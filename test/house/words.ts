import ts from "typescript";
import { parse, placeOf, type Tree, walk } from "./source.ts";

const UNNAMED = /^(managers?|helpers?|utils?|common|base|impl|services?)$/i;

/** Files and folders whose name says that nobody knew what they are. */
export function findUnnamed(paths: Iterable<string>): string[] {
  return [...paths].filter((path) =>
    path
      .replace(/([a-z])([A-Z])/g, "$1-$2")
      .split(/[/._-]/)
      .some((word) => UNNAMED.test(word)),
  );
}

// In two parts, so that this file may be searched too.
const UNFINISHED = new RegExp(`\\b(${["TO", "DO"].join("")}|${["FIX", "ME"].join("")}|${["X", "XX"].join("")})\\b`);

/** Lines that promise to be finished later. An issue is the place for that. */
export function findUnfinished(tree: Tree): string[] {
  return linesWith(tree, UNFINISHED);
}

/** Tests that do not run, or keep others from running. */
export function findUnrun(tree: Tree): string[] {
  const faults: string[] = [];
  for (const [path, text] of tree) {
    walk(parse(path, text), (node) => {
      if (!ts.isPropertyAccessExpression(node) || !/^(skip|only|todo|skipIf|runIf)$/.test(node.name.text)) return;
      let owner: ts.Expression = node.expression;
      while (ts.isPropertyAccessExpression(owner) || ts.isCallExpression(owner)) owner = owner.expression;
      if (ts.isIdentifier(owner) && /^(test|it|describe|suite|bench|context|ctx)$/.test(owner.text)) {
        faults.push(`${placeOf(path, node)}: ${node.getText()}`);
      }
    });
  }
  return faults;
}

// As a path by itself: not the end of a longer one or of a URL.
const MACHINE_PATH = /(?<![\w./-])\/(work|home|root|Users)\/\w/;

/** Lines with a path that exists on one machine only. */
export function findMachinePaths(tree: Tree): string[] {
  return linesWith(tree, MACHINE_PATH);
}

function linesWith(tree: Tree, pattern: RegExp): string[] {
  return [...tree].flatMap(([path, text]) =>
    text.split("\n").flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );
}
