import { asLine, minimise } from "./mutate.ts";
import { SEED } from "./settings.ts";
import type { Target } from "./target.ts";

/** What is sent on one connection, and the sentence about what was wrong with what came back; null if nothing was. */
export type Judge = (target: Target, input: string) => Promise<string | null>;

export interface Attack {
  readonly judge: Judge;
  /** How parts of an input are judged, where a part need not be whole. Default: as the whole. */
  readonly judgePart?: Judge;
  /** A smaller input that still fails. Default: by its bytes. */
  readonly minimise?: typeof minimise;
}

/** Connections at once. */
const WORKERS = 32;

export class Found extends Error {}

/**
 * Sends every input, many at a time, until one is answered wrongly or the server is dead. Then that one is looked for, alone on a fresh server, made as small as it
 * stays wrong in the same way, and thrown as a line to paste. `fresh` starts a server; the one given may be left dead. Returns how many were sent.
 */
export async function hunt(target: Target, inputs: Iterable<string>, attack: Attack, fresh: () => Promise<Target>): Promise<number> {
  const iterator = inputs[Symbol.iterator]();
  /** What was sent last: where the server died, one of these did it. */
  const latest: string[] = [];
  const faults: { readonly input: string; readonly what: string }[] = [];
  let count = 0;

  async function work(): Promise<void> {
    while (faults.length === 0 && !target.dead) {
      const { done, value: input } = iterator.next();
      if (done) return;
      count++;
      if (latest.unshift(input) > 3 * WORKERS) latest.pop();
      const what = await attack.judge(target, input);
      if (what !== null) faults.push({ input, what });
    }
  }

  await Promise.all(Array.from({ length: WORKERS }, work));
  const [fault] = faults;
  if ((await target.isAlive()) && fault === undefined) return count;
  // What its operator was told is the cause of an `internal` that comes once and never again
  const told = target.dead ? `The server died:\n${target.out}` : [fault!.what, ...(await target.state()).sentences].join("\n");
  throw new Found(
    `After ${count} inputs of the seed ${SEED}: ${told}\n${await explain(target.dead ? latest : [fault!.input], attack, fresh)}`,
  );
}

async function explain(suspects: readonly string[], attack: Attack, fresh: () => Promise<Target>): Promise<string> {
  let server = await fresh();
  const wrong = async (judge: Judge, input: string): Promise<string | null> => {
    if (server.dead) server = await fresh();
    const what = await judge(server, input);
    return !(await server.isAlive()) ? "It kills the server." : what;
  };
  const kind = (what: string | null): string | undefined => what?.slice(0, 20);
  try {
    for (const input of suspects) {
      const what = await wrong(attack.judge, input);
      if (what === null) continue;
      const least = await (attack.minimise ?? minimise)(
        input,
        async (part) => kind(await wrong(attack.judgePart ?? attack.judge, part)) === kind(what),
      );
      return `Least input (${what}):\n${asLine(least)}`;
    }
    return `None of these is wrong alone:\n${suspects.map(asLine).join("\n").slice(0, 20_000)}`;
  } finally {
    await server.stop();
  }
}
