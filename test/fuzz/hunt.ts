import { asLine, minimise } from "./mutate.ts";
import { SEED } from "./settings.ts";
import type { Target } from "./target.ts";

/** What is sent on one connection, as Latin-1, and the sentence about what was wrong with what came back; null if nothing was. */
export type Judge = (target: Target, input: string) => Promise<string | null>;

/** Connections at once. */
const WORKERS = 32;

export class Found extends Error {}

/**
 * Sends every input, many at a time, until one is answered wrongly or the server is dead. Then that one is looked for, alone on a fresh server, made as small as it
 * stays wrong, and thrown as a line to paste. `fresh` starts a server; the one given may be left dead.
 */
export async function hunt(target: Target, inputs: Iterable<string>, judge: Judge, fresh: () => Promise<Target>): Promise<number> {
  const iterator = inputs[Symbol.iterator]();
  /** What was sent last: where the server died, one of these did it. */
  const latest: string[] = [];
  let fault: { readonly input: string; readonly what: string } | null = null;
  let count = 0;

  async function work(): Promise<void> {
    while (fault === null && !target.dead) {
      const { done, value: input } = iterator.next();
      if (done) return;
      count++;
      if (latest.unshift(input) > 3 * WORKERS) latest.pop();
      const what = await judge(target, input);
      if (what !== null) fault ??= { input, what };
    }
  }

  await Promise.all(Array.from({ length: WORKERS }, work));
  // Its exit is told a little after its sockets are
  await new Promise((resolve) => setTimeout(resolve, target.dead ? 0 : 50));
  if (fault === null && !target.dead) return count;
  const told = target.dead ? `The server died:\n${target.out}` : (fault as unknown as { what: string }).what;
  const suspects = target.dead ? latest : [(fault as unknown as { input: string }).input];
  throw new Found(`After ${count} inputs of the seed ${SEED}: ${told}\n${await explain(suspects, judge, fresh)}`);
}

async function explain(suspects: readonly string[], judge: Judge, fresh: () => Promise<Target>): Promise<string> {
  let server = await fresh();
  const wrong = async (input: string): Promise<string | null> => {
    if (server.dead) server = await fresh();
    const what = await judge(server, input);
    await new Promise((resolve) => setTimeout(resolve, server.dead ? 0 : 5));
    return server.dead ? "it kills the server" : what;
  };
  try {
    for (const input of suspects) {
      const what = await wrong(input);
      if (what === null) continue;
      const least = await minimise(input, async (shorter) => (await wrong(shorter)) !== null);
      return `Least input (${await wrong(least)}):\n${asLine(least)}`;
    }
    return `None of these is wrong alone:\n${suspects.map(asLine).join("\n").slice(0, 20_000)}`;
  } finally {
    await server.stop();
  }
}
