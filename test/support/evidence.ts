import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** What a row of the fault matrix came to. Whole numbers; what a row does not count is left out. */
export interface Figures {
  /** One sentence: what was broken, and what had to hold. */
  readonly what: string;
  /** How often it was broken. */
  readonly injections: number;
  /** Publishes that were acknowledged, and messages that an application was handed. */
  readonly acked?: number;
  readonly delivered?: number;
  readonly lost?: number;
  readonly twice?: number;
  readonly disordered?: number;
  /** Lost without a gap that told it. */
  readonly untold?: number;
  /** What the negative control came to: the loss or the duplicate that the row is able to see. Such as `9 twice`. */
  readonly control?: string;
  readonly seconds: number;
  readonly seed?: number;
  /** Whatever else the row measured, with its unit in its name. */
  readonly [measured: string]: number | string | undefined;
}

/**
 * Keeps the figures of a row: one JSON line more in `<row>.ndjson` of the directory that THROUGHLINE_EVIDENCE names, of which docs/evidence.md
 * is made. Without that variable it does nothing, so that every test may call it.
 */
export function record(row: string, figures: Figures): void {
  const directory = process.env["THROUGHLINE_EVIDENCE"];
  if (directory === undefined || directory === "") return;
  mkdirSync(directory, { recursive: true });
  const line = JSON.stringify({ row, ...figures, commit: commitOf() });
  appendFileSync(join(directory, `${row.replaceAll(/\W+/g, "-")}.ndjson`), `${line}\n`);
}

let known: string | undefined;

/** The commit that was tried; with a `+` where what is tried, or tries it, differs from it. */
function commitOf(): string {
  if (known !== undefined) return known;
  try {
    const git = (...words: string[]) => execFileSync("git", words, { cwd: import.meta.dirname, encoding: "utf8", stdio: "pipe" }).trim();
    known = `${git("rev-parse", "--short=10", "HEAD")}${git("status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/test") === "" ? "" : "+"}`;
  } catch {
    known = "unknown";
  }
  return known;
}
