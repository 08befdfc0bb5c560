import { describe, expect, test } from "vitest";
import { SHUN_MS_MAX, SHUN_MS_MIN, TALK_MIN, TALK_MS } from "./bounds.ts";
import { chooseTransport, type Seen } from "./choose-transport.ts";
import type { Transport } from "./options.ts";
import { createWitness } from "./witness.ts";

interface Named {
  readonly current?: Transport;
  readonly talk?: number;
  readonly sseShunMs?: number;
  readonly webSocketShunMs?: number;
}

const seen = ({ current, talk = 0, sseShunMs = 0, webSocketShunMs = 0 }: Named): Seen => [current, talk, sseShunMs, webSocketShunMs];

describe("The choice of a transport", () => {
  const TABLE: readonly [why: string, what: Named, transport: Transport][] = [
    ["nothing is known", {}, "sse"],
    ["it only listens", { current: "sse" }, "sse"],
    ["it publishes now and then", { current: "sse", talk: TALK_MIN - 1 }, "sse"],
    ["it talks back", { current: "sse", talk: TALK_MIN }, "websocket"],
    ["it talks back from the start", { talk: TALK_MIN }, "websocket"],
    ["it has fallen silent", { current: "websocket" }, "websocket"],
    ["WebSocket failed just now", { current: "sse", talk: TALK_MIN, webSocketShunMs: 1 }, "sse"],
    ["WebSocket failed while it ran", { current: "websocket", talk: TALK_MIN, webSocketShunMs: 1 }, "sse"],
    ["WebSocket failed long ago", { current: "sse", talk: TALK_MIN, webSocketShunMs: -1 }, "websocket"],
    ["events are held back", { current: "sse", sseShunMs: 1 }, "long-poll"],
    ["events were held back long ago", { current: "long-poll", sseShunMs: -1 }, "sse"],
    ["events are held back, and it talks back", { current: "long-poll", talk: TALK_MIN, sseShunMs: 1 }, "websocket"],
    ["nothing gets through", { current: "sse", talk: TALK_MIN, sseShunMs: 1, webSocketShunMs: 1 }, "long-poll"],
  ];
  for (const [why, what, transport] of TABLE) {
    test(`${why}: ${transport}`, () => {
      const [chosen, reason] = chooseTransport(...seen(what));
      expect(chosen).toBe(transport);
      expect(reason).toMatch(/^\w.{8,40}$/);
    });
  }

  test("does not flap: over an hour of a network without WebSocket it is tried six times", () => {
    const witness = createWitness();
    let tried = 0;
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 1_000) {
      witness.talked(TALK_MIN, nowMs);
      if (chooseTransport(...witness.look("sse", nowMs))[0] !== "websocket") continue;
      tried++;
      witness.cut("websocket", nowMs, -1, false);
    }
    expect(tried).toBe(6);
  });
});

describe("The witness", () => {
  test("counts talk within a window, a signal for as much as several publishes", () => {
    const witness = createWitness();
    witness.talked(1, 0);
    witness.talked(1, 5_000);
    expect(witness.look(undefined, 5_000)[1]).toBe(2);
    expect(witness.look(undefined, TALK_MS)[1]).toBe(1);
    witness.talked(TALK_MIN, TALK_MS);
    expect(witness.look(undefined, TALK_MS)[1]).toBe(TALK_MIN);
  });

  test("has a transport that failed left alone for a minute, then two, up to half an hour", () => {
    const witness = createWitness();
    const shunned: number[] = [];
    for (let failure = 0; failure < 7; failure++) {
      witness.cut("websocket", 1_000, -1, false);
      shunned.push(witness.look(undefined, 1_000)[3] / SHUN_MS_MIN);
    }
    expect(shunned).toEqual([1, 2, 4, 8, 16, SHUN_MS_MAX / SHUN_MS_MIN, 30]);
  });

  const TROUBLE: readonly [what: string, cuts: Parameters<ReturnType<typeof createWitness>["cut"]>[], sse: number, websocket: number][] = [
    ["a WebSocket that did not open is a failure", [["websocket", 0, -1, false]], 0, 1],
    ["a stream that said nothing is one", [["sse", 0, -1, true]], 1, 0],
    ["a refused connection says nothing about streams", Array(9).fill(["sse", 0, -1, false]), 0, 0],
    ["two short lives are chance", Array(2).fill(["sse", 0, 500, false]), 0, 0],
    ["three in a row are not", Array(3).fill(["websocket", 0, 500, false]), 0, 1],
    ["a long life clears the name", [...Array(2).fill(["sse", 0, 500, false]), ["sse", 0, 60_000, false], ["sse", 0, 500, false]], 0, 0],
    ["long-polling is the last resort, and blamed for nothing", Array(9).fill(["long-poll", 0, -1, true]), 0, 0],
  ];
  for (const [what, cuts, sse, websocket] of TROUBLE) {
    test(what, () => {
      const witness = createWitness();
      for (const cut of cuts) witness.cut(...cut);
      const [, , sseShunMs, webSocketShunMs] = witness.look(undefined, 0);
      expect([sseShunMs, webSocketShunMs]).toEqual([sse * SHUN_MS_MIN, websocket * SHUN_MS_MIN]);
    });
  }
});
