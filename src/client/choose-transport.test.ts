import { describe, expect, test } from "vitest";
import { chooseTransport, type Seen, SHUN_MS_MAX, SHUN_MS_MIN, TALK_MIN, TALK_MS } from "./choose-transport.ts";
import type { Transport } from "./options.ts";
import { createWitness } from "./witness.ts";

const NEVER = { failures: 0, msAgo: Number.POSITIVE_INFINITY };
const NOTHING: Seen = { current: undefined, talk: 0, sse: NEVER, websocket: NEVER };
const failed = (failures: number, msAgo: number) => ({ failures, msAgo });

describe("The choice of a transport", () => {
  const TABLE: readonly [why: string, seen: Partial<Seen>, transport: Transport][] = [
    ["nothing is known", {}, "sse"],
    ["it only listens", { current: "sse" }, "sse"],
    ["it publishes now and then", { current: "sse", talk: TALK_MIN - 1 }, "sse"],
    ["it talks back", { current: "sse", talk: TALK_MIN }, "websocket"],
    ["it talks back from the start", { talk: TALK_MIN }, "websocket"],
    ["it has fallen silent", { current: "websocket" }, "websocket"],
    ["WebSocket failed just now", { current: "sse", talk: TALK_MIN, websocket: failed(1, 0) }, "sse"],
    ["WebSocket failed while it ran", { current: "websocket", talk: TALK_MIN, websocket: failed(1, 0) }, "sse"],
    ["WebSocket failed a minute ago", { current: "sse", talk: TALK_MIN, websocket: failed(1, SHUN_MS_MIN) }, "websocket"],
    ["WebSocket failed twice, a minute ago", { current: "sse", talk: TALK_MIN, websocket: failed(2, SHUN_MS_MIN) }, "sse"],
    ["WebSocket failed twice, two minutes ago", { current: "sse", talk: TALK_MIN, websocket: failed(2, 2 * SHUN_MS_MIN) }, "websocket"],
    ["WebSocket failed very often, half an hour ago", { talk: TALK_MIN, websocket: failed(99, SHUN_MS_MAX) }, "websocket"],
    ["events are held back", { current: "sse", sse: failed(1, 0) }, "long-poll"],
    ["events were held back a minute ago", { current: "long-poll", sse: failed(1, SHUN_MS_MIN) }, "sse"],
    ["events are held back, and it talks back", { current: "long-poll", talk: TALK_MIN, sse: failed(1, 0) }, "websocket"],
    ["nothing gets through", { current: "sse", talk: TALK_MIN, sse: failed(1, 0), websocket: failed(1, 0) }, "long-poll"],
  ];
  for (const [why, seen, transport] of TABLE) {
    test(`${why}: ${transport}`, () => {
      const choice = chooseTransport({ ...NOTHING, ...seen });
      expect(choice.transport).toBe(transport);
      expect(choice.reason).toMatch(/^\w.{8,40}$/);
    });
  }

  test("does not flap: over an hour of a network without WebSocket it is tried six times", () => {
    const witness = createWitness();
    let tried = 0;
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 1_000) {
      witness.talked(TALK_MIN, nowMs);
      if (chooseTransport(witness.look("sse", nowMs)).transport !== "websocket") continue;
      tried++;
      witness.cut("websocket", nowMs, -1, false, false);
    }
    expect(tried).toBe(6);
  });
});

describe("The witness", () => {
  test("counts talk within a window, a signal for as much as several publishes", () => {
    const witness = createWitness();
    witness.talked(1, 0);
    witness.talked(1, 5_000);
    expect(witness.look(undefined, 5_000).talk).toBe(2);
    expect(witness.look(undefined, TALK_MS).talk).toBe(1);
    witness.talked(TALK_MIN, TALK_MS);
    expect(witness.look(undefined, TALK_MS).talk).toBe(TALK_MIN);
  });

  const TROUBLE: readonly [what: string, cuts: Parameters<ReturnType<typeof createWitness>["cut"]>[], sse: number, websocket: number][] = [
    ["a WebSocket that did not open is a failure", [["websocket", 0, -1, false, false]], 0, 1],
    ["a stream whose head came and nothing else is one", [["sse", 0, -1, true, true]], 1, 0],
    ["a stream that said nothing may be a server that hangs", [["sse", 0, -1, true, false]], 0, 0],
    ["the second time it is a failure", [["sse", 0, -1, true, false], ["sse", 0, -1, true, false]], 1, 0],
    ["a refused connection says nothing about streams", Array(9).fill(["sse", 0, -1, false, false]), 0, 0],
    ["two short lives are chance", [["sse", 0, 500, false, true], ["sse", 0, 500, false, true]], 0, 0],
    ["three in a row are not", Array(3).fill(["websocket", 0, 500, false, true]), 0, 1],
    ["a long life clears the name", [...Array(3).fill(["sse", 0, 500, false, true]), ["sse", 0, 60_000, false, true]], 0, 0],
    ["long-polling is the last resort, and blamed for nothing", Array(9).fill(["long-poll", 0, -1, true, true]), 0, 0],
  ];
  for (const [what, cuts, sse, websocket] of TROUBLE) {
    test(what, () => {
      const witness = createWitness();
      for (const cut of cuts) witness.cut(...cut);
      expect(witness.look(undefined, 7)).toMatchObject({ sse: { failures: sse }, websocket: { failures: websocket } });
    });
  }
});
