import { check } from "./checker.ts";
import { readHistory } from "./read-history.ts";

/** `check <history.ndjson...>`: all files are one history. Ends with 1 if it breaks a promise, with 2 if it cannot be read. */
const files = process.argv.slice(2);
try {
  if (files.length === 0) throw new Error("Name the files of one history: node scripts/check.js <history.ndjson...>");
  const { violations, counts } = check(readHistory(files));
  for (const { property, name, t, sentence } of violations) console.log(`${property} ${name} at ${t}: ${sentence}.`);
  console.log(JSON.stringify(counts, null, 2));
  console.log(counts.violations === 0 ? "No promise is broken." : `${counts.violations} violations.`);
  process.exitCode = counts.violations === 0 ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}
