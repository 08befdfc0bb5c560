import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below those that the system gives away by itself, to whoever listens on any port or connects: nobody takes one by chance while the server
 * that had it is down and about to come back, not even a client that tries to reach it.
 */
const FIRST = 10_240;
const END = 32_000;
/** Test files that run beside each other draw from parts of their own. */
const PARTS = 8;

const given = new Set<number>();

/** A port on loopback that nobody has. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = anyPort();
    if (await isFree(port)) return port;
  }
}

/** A port that this file has not been given yet. Somebody else may have it. */
export function anyPort(): number {
  const size = (END - FIRST) / PARTS;
  const part = Number(process.env["VITEST_POOL_ID"] ?? 0) % PARTS;
  const port = FIRST + part * size + randomInt(size);
  if (given.has(port)) return anyPort();
  given.add(port);
  return port;
}

export async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  const free = await new Promise<boolean>((resolve) => server.once("listening", () => resolve(true)).once("error", () => resolve(false)));
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}
