import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { until } from "../support/until.ts";
import { startBystanders } from "./bystanders.ts";
import { corpus } from "./corpus.ts";
import { pipelined, request } from "./http-grammar.ts";
import { Found, hunt } from "./hunt.ts";
import { MUTANT_REQUESTS, REQUESTS } from "./judges.ts";
import { mutate, pick } from "./mutate.ts";
import { PATIENCE_MS, SEED, SOCKET_COUNT } from "./settings.ts";
import { type Planted, Target } from "./target.ts";
import { encode, sequence } from "./websocket-grammar.ts";
import { MUTANT_SEQUENCES, SEQUENCES } from "./websocket-judge.ts";

const timeout = { timeout: PATIENCE_MS };
/**
 * RssAnon after all inputs against that after a quarter of them, both after collecting garbage: what code compiled and a heap stretched by bursts take in a small run. In
 * a long one (100,000 requests) it is half a kilobyte for each.
 */
const RSS_GROWTH_MB_MAX = 48;

const targets: Target[] = [];
afterEach(async () => {
  for (const target of targets.splice(0)) await target.stop();
});

async function started(planted?: Planted): Promise<Target> {
  const target = await Target.start(planted);
  targets.push(target);
  return target;
}

/** Runs an attack in two parts, with honest clients beside it, and holds the server to what it was before. */
async function withstands(target: Target, attack: (share: number, part: number) => Promise<number>): Promise<Withstood> {
  const before = await target.state();
  const bystanders = await startBystanders(target.url);
  let inputs = await attack(0.25, 0);
  const warmMb = await target.rssAnonMb();
  inputs += await attack(0.75, 1);
  const bystanderMessages = await bystanders.stop();
  let after = await target.state();
  await until("all connections, readers and requests are gone", async () => {
    after = await target.state();
    return after.sockets === 0 && after.connections === 0 && after.readers === 0 && after.pending === 0;
  }).catch(() => undefined);
  const grownMb = Math.round((await target.rssAnonMb()) - warmMb);
  // The same process, with nothing left over and nothing said to its operator
  expect({ ...after, uptimeSeconds: 0 }, JSON.stringify(after)).toEqual({ ...before, uptimeSeconds: 0 });
  expect(after.uptimeSeconds).toBeGreaterThan(before.uptimeSeconds);
  expect(grownMb, "MB grown").toBeLessThan(RSS_GROWTH_MB_MAX);
  expect(bystanderMessages).toBeGreaterThan(2);
  const seconds = Math.round(after.uptimeSeconds - before.uptimeSeconds);
  return {
    seed: SEED,
    injections: inputs,
    delivered: 2 * bystanderMessages,
    acked: bystanderMessages,
    seconds,
    warmMb: Math.round(warmMb),
    grownMb,
  };
}

type Withstood = Readonly<Record<"seed" | "injections" | "delivered" | "acked" | "seconds" | "warmMb" | "grownMb", number>>;

function tell(row: string, what: string, figures: Withstood): void {
  console.log(`${row}: ${JSON.stringify(figures)}`);
  record(row, {
    what,
    ...figures,
    lost: 0,
    twice: 0,
    disordered: 0,
    control: "a thrown error, an answer of no law and a leak, each found",
  });
}

const PORTION = 1_000;

/** `count` samples of a grammar, made as they are needed. */
function* samples<Sample>(arbitrary: fc.Arbitrary<Sample>, count: number, part: number): Iterable<Sample> {
  for (let made = 0; made < count; made += PORTION) {
    yield* fc.sample(arbitrary, { numRuns: Math.ceil(Math.min(PORTION, count - made)), seed: SEED + part * 7_919 + made });
  }
}

/** `count` mutants of a corpus and of a grammar. */
function* mutants(texts: readonly string[], grammar: fc.Arbitrary<string>, count: number, part: number): Iterable<string> {
  const random = seededRandom(SEED + part);
  const grown = [...samples(grammar, 200, part)];
  for (let made = 0; made < count; made++) {
    yield mutate(pick(random, random.fraction() < 0.6 ? texts : grown), random, texts);
  }
}

test(
  "[D7] [D8] HTTP: requests of all kinds and their mutants, on raw sockets, end nothing, leave nothing and disturb nobody",
  timeout,
  async () => {
    const target = await started();
    const row = await withstands(target, async (share, part) => {
      const count = SOCKET_COUNT * share;
      await hunt(target, corpus("http"), REQUESTS, started);
      const whole = await hunt(target, samples(request, count * 0.3, part), REQUESTS, started);
      const several = await hunt(target, samples(pipelined, count * 0.1, part), REQUESTS, started);
      return whole + several + (await hunt(target, mutants(corpus("http"), request, count * 0.65, part), MUTANT_REQUESTS, started));
    });
    tell(
      "fuzz-http",
      "Requests and their mutants on raw sockets: every answer is of the law, the server is as before, others are undisturbed.",
      row,
    );
  },
);

test(
  "[D7] WebSocket: sequences of frames come out as RFC 6455 says, and their mutants end nothing, leave nothing and disturb nobody",
  timeout,
  async () => {
    const target = await started();
    const texts = corpus("websocket");
    const wire = sequence.map((frames) => frames.map(encode).join(""));
    const row = await withstands(target, async (share, part) => {
      const count = SOCKET_COUNT * share;
      await hunt(target, texts, MUTANT_SEQUENCES, started);
      await hunt(target, texts, MUTANT_SEQUENCES, started);
      const sequences = samples(
        sequence.map((frames) => JSON.stringify(frames)),
        count * 0.55,
        part,
      );
      return (
        (await hunt(target, sequences, SEQUENCES, started)) +
        (await hunt(target, mutants(texts, wire, count * 0.5, part), MUTANT_SEQUENCES, started))
      );
    });
    tell(
      "fuzz-websocket",
      "Sequences of frames, held to RFC 6455, and their mutants: the server is as before, others are undisturbed.",
      row,
    );
  },
);

describe("A server with a fault on purpose is found", () => {
  const attacked = async (planted: Planted): Promise<Withstood> => {
    const target = await started(planted);
    const attack = async (share: number, part: number) =>
      hunt(target, mutants(corpus("http"), request, 2_000 * share, part), MUTANT_REQUESTS, () => started(planted));
    return withstands(target, attack);
  };

  test("where a parse error is thrown out of a handler: by the input that does it, made small", timeout, async () => {
    await expect(attacked("throws")).rejects.toThrow(/The server died:.*URIError.*Least input \(It kills the server.\):\n.{1,100}%/s);
  });

  test("where an answer is none of the law's", timeout, async () => {
    await expect(attacked("mumbles")).rejects.toThrow(Found);
  });

  test("where something is kept of each request", timeout, async () => {
    await expect(attacked("leaks")).rejects.toThrow("MB grown");
  });
});
