import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { seededRandom } from "../support/clock.ts";
import { until } from "../support/until.ts";
import { startBystanders } from "./bystanders.ts";
import { corpus } from "./corpus.ts";
import { pipelined, request } from "./http-grammar.ts";
import { Found, hunt } from "./hunt.ts";
import { judgeHttp, judgeMutantHttp } from "./judges.ts";
import { mutate, pick } from "./mutate.ts";
import { PATIENCE_MS, SEED, SOCKET_COUNT } from "./settings.ts";
import { Target } from "./target.ts";

const timeout = { timeout: PATIENCE_MS };
/** Of a process that has been garbage-collected; what is above its value after a tenth of the inputs is a leak. */
const RSS_GROWTH_MB_MAX = 32;

let target: Target;
beforeEach(async () => {
  target = await Target.start();
});
afterEach(() => target.stop());

/** Runs an attack in two parts, with honest clients beside it, and holds the server to what it was before. */
async function withstands(attack: (share: number, part: number) => Promise<number>): Promise<object> {
  const before = await target.state();
  const bystanders = await startBystanders(target.url);
  let count = await attack(0.1, 0);
  const warmMb = await target.rssAnonMb();
  count += await attack(0.9, 1);
  const published = await bystanders.stop();
  let after = await target.state();
  await until("all connections, readers and requests are gone", async () => {
    after = await target.state();
    return after.sockets === 0 && after.connections === 0 && after.readers === 0 && after.pending === 0;
  }).catch(() => undefined);
  const grownMb = (await target.rssAnonMb()) - warmMb;
  expect({ ...after, uptimeSeconds: 0 }).toEqual({ ...before, uptimeSeconds: 0 });
  expect(after.uptimeSeconds).toBeGreaterThan(before.uptimeSeconds);
  expect(grownMb).toBeLessThan(RSS_GROWTH_MB_MAX);
  expect(published).toBeGreaterThan(5);
  return { seed: SEED, inputs: count, bystanderMessages: published, warmMb: Math.round(warmMb), grownMb: Math.round(grownMb) };
}

const PORTION = 1_000;

/** `count` samples of a grammar, made as they are needed. */
function* samples(arbitrary: fc.Arbitrary<string>, count: number, part: number): Iterable<string> {
  for (let made = 0; made < count; made += PORTION) {
    yield* fc.sample(arbitrary, { numRuns: Math.min(PORTION, count - made), seed: SEED + part * 7_919 + made });
  }
}

/** `count` mutants of a corpus and of a grammar. */
function* mutants(texts: readonly string[], arbitrary: fc.Arbitrary<string>, count: number, part: number): Iterable<string> {
  const random = seededRandom(SEED + part);
  const grown = [...samples(arbitrary, 200, part)];
  for (let made = 0; made < count; made++) yield mutate(pick(random, random.fraction() < 0.6 ? texts : grown), random, texts);
}

describe("HTTP", () => {
  test(
    "[D7] [D8] requests of all kinds and their mutants, on raw sockets, end nothing, leave nothing and disturb nobody",
    timeout,
    async () => {
      const fresh = () => Target.start();
      const done = await withstands(async (share, part) => {
        const whole = await hunt(target, samples(request, SOCKET_COUNT * share * 0.3, part), judgeHttp, fresh);
        const several = await hunt(target, samples(pipelined, SOCKET_COUNT * share * 0.1, part), judgeHttp, fresh);
        return (
          whole +
          several +
          (await hunt(target, mutants(corpus("http"), request, SOCKET_COUNT * share * 0.65, part), judgeMutantHttp, fresh))
        );
      });
      console.log(`fuzz of HTTP: ${JSON.stringify(done)}`);
    },
  );

  test("every input that once failed, and every recorded one, is answered as the law says", timeout, async () => {
    await hunt(target, corpus("http"), judgeHttp, () => Target.start());
  });
});

describe("A server with a fault on purpose", () => {
  const attacks = (planted: "throws" | "mumbles") => async () => {
    const broken = await Target.start(planted);
    try {
      await hunt(broken, mutants(corpus("http"), request, 2_000, 0), judgeMutantHttp, () => Target.start(planted));
    } finally {
      await broken.stop();
    }
  };

  test("is found where a parse error is thrown out of a handler, by the input that does it", timeout, async () => {
    await expect(attacks("throws")).rejects.toThrow(/The server died:.*URIError.*Least input \(it kills the server\):\n.*%/s);
  });

  test("is found where an answer is none of the law's", timeout, async () => {
    await expect(attacks("mumbles")).rejects.toThrow(Found);
  });
});
