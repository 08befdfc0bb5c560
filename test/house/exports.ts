import ts from "typescript";
import { parse, type Tree } from "./source.ts";

/** What the exports of package.json and the files directly in `src/` say of each other. */
export function findExportFaults(exports: Readonly<Record<string, unknown>>, tree: Tree): string[] {
  const faults: string[] = [];
  const entries = Object.keys(exports).filter((entry) => entry !== "./package.json");
  const files = [...tree.keys()].filter((path) => !path.includes("/"));
  for (const entry of entries) {
    const name = nameOf(entry);
    if (!tree.has(`${name}.ts`)) faults.push(`package.json exports "${entry}", but src/${name}.ts does not exist`);
    const expected = { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` };
    if (JSON.stringify(exports[entry]) !== JSON.stringify(expected)) faults.push(`"${entry}" should be ${JSON.stringify(expected)}`);
  }
  for (const file of files) {
    if (!entries.some((entry) => `${nameOf(entry)}.ts` === file))
      faults.push(`src/${file} stands directly in src/, but package.json does not export it`);
  }
  return faults;
}

/** `index` for `.`, `client` for `./client`. */
export const nameOf = (entry: string): string => (entry === "." ? "index" : entry.slice("./".length));

/** The names that an export file gives, types with `type` before them, in the order of the alphabet. */
export function namesOf(path: string, text: string): string[] {
  const names: string[] = [];
  for (const statement of parse(path, text).statements) {
    if (!ts.isExportDeclaration(statement) || statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) continue;
    for (const each of statement.exportClause.elements)
      names.push(`${statement.isTypeOnly || each.isTypeOnly ? "type " : ""}${each.name.text}`);
  }
  return names.sort();
}
