/** The text of a section of PROTOCOL.md, from its `## n.` to the next. */
export function sectionOf(document: string, number: number): string {
  const found = document.split(/^## /m).find((section) => section.startsWith(`${number}. `));
  if (found === undefined) throw new Error(`PROTOCOL.md has no section ${number}.`);
  return found;
}

/** The cells of a section's table rows, without its head. */
export function rowsOf(section: string): string[][] {
  return section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .slice(2);
}

interface Meaning {
  readonly status: number;
  readonly close: number;
  readonly retry: boolean;
}

/** Where §11 and the list of error codes differ. Codes that only the client says have no status and no close code on the wire. */
export function findErrorFaults(document: string, errors: Readonly<Record<string, Meaning>>, clientOnly: readonly string[]): string[] {
  const told = new Map(
    rowsOf(sectionOf(document, 11)).map(([code = "", status, close, retry, text = ""]) => [
      code.replaceAll("`", ""),
      { row: [status, close, retry].join(" "), clientOnly: text.startsWith("client only:"), text },
    ]),
  );
  const faults: string[] = [];
  for (const [code, { status, close, retry }] of Object.entries(errors)) {
    const own = clientOnly.includes(code);
    const expected = [own ? "-" : status, own ? "-" : close, retry ? "yes" : "no"].join(" ");
    const row = told.get(code);
    if (row === undefined) faults.push(`§11 has no row for ${code}`);
    else if (row.row !== expected) faults.push(`§11 says ${row.row} of ${code}, src/protocol/error.ts says ${expected}`);
    else if (row.clientOnly !== own) faults.push(`§11 and src/protocol/error.ts differ on whether only the client says ${code}`);
    else if (row.text === "") faults.push(`§11 does not say what ${code} means`);
  }
  for (const code of told.keys()) if (!Object.hasOwn(errors, code)) faults.push(`§11 has ${code}, which is not in src/protocol/error.ts`);
  return faults;
}

/** The codes below the comment in src/protocol/error.ts that says that only the client says them. */
export function clientOnlyCodes(source: string): string[] {
  const below = source.split(/\/\/ said by the client library only/i)[1]?.split("} as const")[0] ?? "";
  return [...below.matchAll(/^\s*(\w+): \{/gm)].map(([, code]) => code as string);
}

/** Where §12 and the list of limits differ, in name, default or words. */
export function findLimitFaults(document: string, limits: Readonly<Record<string, number>>, source: string): string[] {
  const told = new Map(
    rowsOf(sectionOf(document, 12)).map(([name = "", value = "", text = ""]) => [name.replaceAll("`", ""), { value, text }]),
  );
  const said = commentsOf(source);
  const faults: string[] = [];
  for (const [name, value] of Object.entries(limits)) {
    const row = told.get(name);
    const shown = value.toLocaleString("en-US");
    const text = said.get(name);
    if (text === undefined) faults.push(`src/protocol/limits.ts does not say what ${name} bounds`);
    if (row === undefined) faults.push(`§12 has no row for ${name}`);
    else if (row.value !== shown) faults.push(`§12 says that ${name} is ${row.value}, src/protocol/limits.ts says ${shown}`);
    else if (row.text !== text) faults.push(`§12 says of ${name}: ${row.text} - but src/protocol/limits.ts: ${text}`);
  }
  for (const name of told.keys()) if (!Object.hasOwn(limits, name)) faults.push(`§12 has ${name}, which is not in src/protocol/limits.ts`);
  return faults;
}

/** The comment before each member of an object, on one line. */
function commentsOf(source: string): Map<string, string> {
  const found = source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\w+):/g);
  return new Map([...found].map(([, text = "", name = ""]) => [name, text.replace(/\s*\n\s*\*\s*/g, " ").trim()]));
}

/** The promises of §2 with what they say. */
export function promisesOf(document: string): Map<string, string> {
  return new Map(rowsOf(sectionOf(document, 2)).map(([number = "", text = ""]) => [number, text]));
}

/** Promises that no test's title names, and titles that name no promise. */
export function findUntestedPromises(promises: ReadonlyMap<string, string>, titles: readonly string[]): string[] {
  const named = new Set(titles.flatMap((title) => [...title.matchAll(/\[(D\d+)\]/g)].map(([, number]) => number as string)));
  const untested = [...promises].filter(([number, text]) => !named.has(number) && !text.includes("not in this version"));
  return [
    ...untested.map(([number, text]) => `no test's title carries [${number}]: ${text.split("**")[1] ?? text}`),
    ...[...named].filter((number) => !promises.has(number)).map((number) => `a title carries [${number}], which is no promise`),
  ];
}
