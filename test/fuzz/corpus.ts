import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "corpus");

/**
 * What mutants are made of, as Latin-1: `http` and `websocket` are what clients sent this server, `sse` and `json` what it answered, each recorded from a real
 * exchange; and in each every input that once failed, by the name of what it broke (`once-…`).
 */
export function corpus(kind: "http" | "websocket" | "sse" | "json"): readonly string[] {
  return [...named(kind).values()];
}

export function named(kind: string): ReadonlyMap<string, string> {
  const names = readdirSync(join(FOLDER, kind)).sort();
  return new Map(names.map((name) => [name, readFileSync(join(FOLDER, kind, name), "latin1")]));
}
