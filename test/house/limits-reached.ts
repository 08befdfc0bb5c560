import ts from "typescript";
import { parse, type Tree, walk } from "./source.ts";

/** The limits that no test sets (`limits: { name: … }`), reads (`LIMITS.name`) or names in a title. */
export function findUnreachedLimits(names: readonly string[], tests: Tree): string[] {
  const reached = new Set<string>();
  for (const [path, text] of tests) {
    walk(parse(path, text), (node) => {
      if (ts.isObjectLiteralExpression(node) && !isFrame(node)) {
        for (const { name } of node.properties) if (name !== undefined && ts.isIdentifier(name)) reached.add(name.text);
      } else if (ts.isPropertyAccessExpression(node) && /limits$/i.test(node.expression.getText())) {
        reached.add(node.name.text);
      } else if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) {
        for (const word of node.text.match(/\w+/g) ?? []) reached.add(word);
      }
    });
  }
  return names.filter((name) => !reached.has(name));
}

/** `{ type: "connected", heartbeatSeconds: 15 }` tells a limit, and reaches none. */
const isFrame = (node: ts.ObjectLiteralExpression): boolean => node.properties.some((each) => each.name?.getText() === "type");
