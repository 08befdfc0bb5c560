import { isErrorCode } from "../protocol/error.ts";

/** The few assertions that the suites need, so that they bring no test runner with them. */

export function expectTrue(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`Expected ${what}.`);
}

export function expectSame(actual: unknown, expected: unknown, what: string): void {
  if (!isSame(actual, expected)) throw new Error(`Expected ${what} to be ${show(expected)}, not ${show(actual)}.`);
}

/** The promise rejects with a ThroughlineError of this code. Seen by its name and code: the subject may bring its own copy of the class. */
export async function expectRejects(promise: Promise<unknown>, codes: readonly string[], what: string): Promise<void> {
  let outcome: unknown;
  try {
    outcome = await promise;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    expectTrue(
      isErrorCode(code) && codes.includes(code),
      `${what} to fail with ${codes.join(" or ")}, not with ${String(code)} (${String(message)})`,
    );
    expectTrue(typeof message === "string" && message.length > 20, `${what} to say what happened`);
    return;
  }
  throw new Error(`Expected ${what} to fail with ${codes.join(" or ")}, but it gave ${show(outcome)}.`);
}

/** Waits for a fact, at most two seconds. */
export async function expectSoon(condition: () => boolean, what: string): Promise<void> {
  const untilMs = Date.now() + 2_000;
  while (!condition()) {
    expectTrue(Date.now() < untilMs, `${what} within two seconds`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((byte, index) => byte === b[index]);
  }
  const keys = Object.keys(a);
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
