import { explain, find } from "../../scripts/need.js";

/** The path of a program that a test starts, such as `chromium`. Throws the plain text of what to install: no test is skipped for the lack of it. */
export function need(name: string): string {
  const path = find(name);
  if (path === null) throw new Error(explain(name));
  return path;
}
