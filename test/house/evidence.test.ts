import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** Every row that concerns one node. */
const NEEDED = [
  ...["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N10", "N11", "P1", "P2", "P3", "P4", "P6", "P7"],
  ...[
    "D1",
    "D2",
    "D3",
    "D4",
    "D5",
    "D6",
    "D7",
    "D8",
    "F1",
    "F2",
    "F3",
    "T1",
    "T2",
    "C1",
    "C3",
    "C4",
    "C5",
    "C6",
    "C7",
    "H1",
    "H2",
    "U1",
    "U2",
  ],
];

test("docs/evidence.md is what the results in docs/evidence/ give, word for word", () => {
  const { status, stderr } = spawnSync(process.execPath, ["scripts/evidence.js", "check"], { cwd: ROOT, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});

test("each bug that was found is guarded by a test that is there", () => {
  const bugs: { guard: string }[] = JSON.parse(readFileSync(join(ROOT, "docs/evidence/bugs.json"), "utf8"));
  expect(bugs.length).toBeGreaterThan(0);
  for (const { guard } of bugs) expect([guard, existsSync(join(ROOT, guard))]).toEqual([guard, true]);
});

test.each([
  ["docs/redis.md", "D5-Redis"],
  ["docs/nats.md", "D5-NATS"],
])("the power cuts in %s are those that were measured, all of them", (page, name) => {
  const lines = readFileSync(join(ROOT, `docs/evidence/${name}.ndjson`), "utf8")
    .trim()
    .split("\n");
  const table = lines.map((line) => {
    const { broker, setting, level, acked, lost, injections, told, untold, commit } = JSON.parse(line);
    const count = (value: number) => value.toLocaleString("en-US");
    return `| ${broker}, ${setting} | \`${level}\` | ${count(acked)} | ${count(lost)} | ${injections} | ${count(told)} | ${untold} | \`${commit}\` |`;
  });
  const told = readFileSync(join(ROOT, page), "utf8").split("\n");
  expect(told.filter((line) => /^\| (Redis|nats-server) \S*\d,/.test(line))).toEqual(table);
});

test("each row of the fault matrix has a test that is there, a negative control, and a command that repeats it; and what was measured is of such a row", () => {
  const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
  const rows: Record<"row" | "test" | "title" | "control" | "again", string>[] = JSON.parse(read("docs/evidence/rows.json"));
  for (const { row, test: file, title, control, again } of rows) {
    expect(read(file), `${row} in ${file}`).toContain(title);
    expect(control, row).not.toBe("");
    expect(again.includes(basename(file).replace(/\.(fault|test)\.ts$/, "")), `${again} runs ${file}`).toBe(true);
  }
  const known = new Set(rows.map(({ row }) => row.split(" ")[0]));
  for (const each of NEEDED) expect(known, each).toContain(each);
  const measured = readdirSync(join(ROOT, "docs/evidence")).filter((name) => name.endsWith(".ndjson"));
  for (const name of measured) expect(known.has(name.split(/[-.]/)[0] ?? "") || /^(proxy|browser|fuzz)/.test(name), name).toBe(true);
});
