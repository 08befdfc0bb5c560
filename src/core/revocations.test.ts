import { describe, expect, test } from "vitest";
import { type Node, world } from "../../test/support/presence-world.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Connection } from "./connection.ts";
import type { Identity } from "./identity.ts";

/** Nodes on one bus, and pipes that they hold. */
async function stage(limits: Partial<Limits> = {}) {
  const { clock, bus, node } = world(limits);

  async function start(refused: readonly string[] = []): Promise<Node> {
    const one = node(false, { authorize: ({ identity }) => !refused.includes(identity.id) });
    await one.hub.open();
    return one;
  }

  /** A pipe that has come in, having asked just now or then. Its state is `open`, or why it has ended. */
  function pipe({ hub }: Node, identity: Identity, asked = hub.gate.moment): { state: string } {
    const one = { state: "open" };
    const end: Connection["end"] = (error) => {
      one.state = error.code;
      hub.leave(connection);
    };
    const rest = { readers: () => [], beat: () => {}, slot: -1 };
    const connection = { id: "p", transport: "sse" as const, identity, asked, end, ...rest };
    hub.enter(connection);
    return one;
  }

  const told = () => bus.said.filter(({ channel }) => channel === "throughline/revocations").length;
  return { clock, bus, node, start, pipe, told };
}

const [ADA, EVE] = [{ id: "ada" }, { id: "eve" }];

describe("A revocation", () => {
  test("[D8] ends the pipes of an identity on every node at once, and those of nobody else", async () => {
    const { start, pipe } = await stage();
    const nodes = [await start(), await start(), await start()];
    const pipes = nodes.map((node) => [pipe(node, ADA), pipe(node, EVE)]);
    nodes[0]!.hub.revocations.revoke("ada");
    expect(pipes.map((some) => some.map(({ state }) => state))).toEqual(nodes.map(() => ["revoked", "open"]));
  });

  test("[D8] ends members and watchers of an identity on every node", async () => {
    const { start } = await stage();
    const [a, b] = [await start(), await start()];
    await b.enter("x", "1", undefined, EVE);
    await b.enter("y", "1");
    a.hub.revocations.revoke("eve");
    expect(await b.who()).toEqual(["y 1"]);
  });

  test("[D8] that is lost on its way comes with a repetition", async () => {
    const { start, pipe, bus, clock } = await stage();
    const [a, b] = [await start(), await start()];
    const one = pipe(b, ADA);
    bus.isAway = true;
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(10_000);
    expect(one.state).toBe("open");
    bus.isAway = false;
    await clock.advanceAsync(35_000);
    expect(one.state).toBe("revoked");
  });

  test("ends nobody who came in after it, though it is told again and again, and heard late", async () => {
    const { start, pipe, bus, clock, told } = await stage();
    const [a, b, deaf] = [await start(), await start(), await start()];
    const end = bus.ends.pop();
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(2_000);
    const back = [pipe(a, ADA), pipe(b, ADA), pipe(deaf, ADA)];
    bus.ends.push(end!);
    await clock.advanceAsync(60_000);
    expect([back.map(({ state }) => state), told()]).toEqual([["open", "open", "open"], 6]);
  });

  test("[D8] that is heard late ends also who was on his way in when it was told, and came long after", async () => {
    const { start, pipe, bus, clock } = await stage();
    const [a, b] = [await start(), await start()];
    const asked = b.hub.gate.moment;
    bus.isAway = true;
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(3_000);
    const one = pipe(b, ADA, asked);
    bus.isAway = false;
    await clock.advanceAsync(2_000);
    expect(one.state).toBe("revoked");
  });

  test("that is heard late refuses nobody who is on his way in then, and began to ask long after it was told", async () => {
    const { start, pipe, bus, clock } = await stage();
    const [a, b] = [await start(), await start()];
    bus.isAway = true;
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(3_900);
    const asked = b.hub.gate.moment;
    bus.isAway = false;
    await clock.advanceAsync(200);
    expect(pipe(b, ADA, asked).state).toBe("open");
  });

  test("that is heard late ends the members of before it, and none who was permitted again and has come since", async () => {
    const { start, bus, clock } = await stage();
    const [a, b] = [await start(), await start()];
    for (const client of ["x", "y"]) await b.enter(client, "1", undefined, ADA);
    bus.isAway = true;
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(3_000);
    await b.enter("x", "2", undefined, ADA);
    bus.isAway = false;
    await clock.advanceAsync(2_000);
    expect(await b.who()).toEqual(["x 2"]);
  });

  test("is not repeated upon a member who has come back", async () => {
    const { start, clock } = await stage();
    const [a, b] = [await start(), await start()];
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(2_000);
    await b.enter("x", "1");
    await clock.advanceAsync(20_000);
    expect(await b.who()).toEqual(["x 1"]);
  });

  test("of what the application has withdrawn is found by a review on every node", async () => {
    const { start } = await stage();
    const refused: string[] = [];
    const [a, b] = [await start(), await start(refused)];
    await b.enter("x", "1", undefined, EVE);
    await b.enter("y", "1");
    refused.push("eve", "ada");
    await a.hub.revocations.review("eve");
    expect(await b.who()).toEqual(["y 1"]);
    await a.hub.revocations.review();
    expect(await b.who()).toEqual([]);
  });

  test("[D7] is told again for no more than revocationsMax of them, and of the latest", async () => {
    const { start, pipe, bus, clock, told } = await stage({ revocationsMax: 2 });
    const [a, b] = [await start(), await start()];
    const pipes = ["1", "2", "3"].map((id) => pipe(b, { id }));
    bus.isAway = true;
    for (const id of ["1", "2", "3"]) a.hub.revocations.revoke(id);
    bus.isAway = false;
    await clock.advanceAsync(60_000);
    expect([pipes.map(({ state }) => state), told()]).toEqual([["open", "revoked", "revoked"], 3 + 2 * 5]);
  });

  test("[D8] by a node that was not used before opens its log, and is told then", async () => {
    const { start, pipe, node, clock } = await stage();
    const one = pipe(await start(), ADA);
    node().hub.revocations.revoke("ada");
    await clock.advanceAsync(0);
    expect(one.state).toBe("revoked");
  });

  test("leaves no timer behind a node that stops", async () => {
    const { start, clock } = await stage();
    const [a, b] = [await start(), await start()];
    a.hub.revocations.revoke("ada");
    await a.hub.close();
    await b.hub.close();
    a.hub.revocations.revoke("ada");
    await clock.advanceAsync(0);
    expect(clock.timers).toBe(0);
  });

  test("is told to nobody where there are no other nodes", async () => {
    const { clock, node } = world();
    const alone = node(true);
    await alone.enter("x", "1");
    alone.hub.revocations.revoke("ada");
    expect(await alone.who()).toEqual([]);
    await alone.hub.close();
    expect(clock.timers).toBe(0);
  });
});
