import { describe, expect, test } from "vitest";
import { ADA, LEASE_MS, LOBBY, world } from "../../test/support/presence-world.ts";
import { codeOf } from "../../test/support/stage.ts";

describe("A member", () => {
  test("[D9] is there for a lease from its last sign of life, and then leaves: once", async () => {
    const { clock, node } = world();
    const one = node(true);
    await one.enter("x", "1");
    await clock.advanceAsync(LEASE_MS - 1_000);
    await one.enter("x");
    await clock.advanceAsync(LEASE_MS - 1_000);
    expect(one.told()).toEqual(["join x 1"]);
    await clock.advanceAsync(1_000);
    expect(one.told()).toEqual(["leave x 1"]);
    await one.hub.close();
    expect(clock.timers).toBe(0);
  });

  test("says something else, and what it said before and comes late is not believed", async () => {
    const { node } = world();
    const one = node(true);
    await one.enter("x", "1", 1);
    await one.enter("x", "3", 3);
    await one.enter("x", "2", 2);
    expect(one.told()).toEqual(["join x 1", "update x 3"]);
  });

  test("that has left is not brought back by what it said before", async () => {
    const { node, clock } = world();
    const one = node(true);
    await one.enter("x", "1", 1);
    await one.leave("x", 2);
    await one.enter("x", "1", 1);
    expect(one.told()).toEqual(["join x 1", "leave x 1"]);
    await one.enter("x", "3", 3);
    expect(one.told()).toEqual(["join x 3"]);
    await one.leave("x", 4);
    await clock.advanceAsync(2 * LEASE_MS);
    expect([one.told(), one.hub.presence.size]).toEqual([["leave x 3"], 0]);
  });

  test("of another user, or another tab, is another member", async () => {
    const { node } = world();
    const one = node(true);
    await one.enter("x", "1");
    await one.enter("y", "1");
    await one.enter("x", "2", undefined, { id: "eve" });
    expect(await one.who()).toEqual(["x 1", "x 2", "y 1"]);
  });

  test("[D8] that was revoked, or is refused at a review, has left at once", async () => {
    const { node } = world();
    const allowed = new Set(["ada", "eve"]);
    const one = node(true, { authorize: ({ identity }) => allowed.has(identity.id) });
    await one.enter("x", "1");
    await one.enter("y", "1", undefined, { id: "eve" });
    one.hub.revocations.revoke("eve");
    expect(await one.who()).toEqual(["x 1"]);
    allowed.delete("ada");
    await one.hub.revocations.review();
    expect(await one.who()).toEqual([]);
  });

  test("[D8] a late answer of a review does not end who has been asked about anew since", async () => {
    const answers: ((isAllowed: boolean) => void)[] = [];
    const { hub, enter, who } = world().node(true, { authorize: () => new Promise<boolean>((resolve) => answers.push(resolve)) });
    await enter("x", "1");
    const reviewed = hub.revocations.review();
    await enter("x", "2", undefined, { id: "ada", token: "fresh" });
    answers[0]!(false);
    await reviewed;
    expect(await who()).toEqual(["x 2"]);
  });

  test("[D7] one that has left, or left before it ever came, is counted as another when it comes back", async () => {
    const { enter, leave, who } = world({ presenceMembersMax: 1 }).node(true);
    await enter("x", "1");
    await leave("y");
    expect(await codeOf(enter("y", "1"))).toBe("overloaded");
    await leave("x");
    await enter("y", "1");
    expect(await codeOf(enter("x", "1"))).toBe("overloaded");
    expect(await who()).toEqual(["y 1"]);
  });

  test("[D7] one more than presenceMembersMax, presencePlacesMax or presenceChannelsMax is refused with overloaded", async () => {
    const full = world({ presenceMembersMax: 1 }).node(true);
    await full.enter("x", "1");
    expect(await codeOf(full.enter("y", "1"))).toBe("overloaded");
    await full.enter("x", "2");
    const crowded = world({ presencePlacesMax: 1 }).node(true);
    await crowded.enter("x", "1");
    expect(await codeOf(crowded.enter("y", "1"))).toBe("overloaded");
    const wide = world({ presenceChannelsMax: 1 }).node(true);
    await wide.enter("x", "1");
    expect(await codeOf((async () => wide.hub.presence.gathering("other"))())).toBe("overloaded");
  });
});

describe("Members of several nodes", () => {
  test("[D9] are told by every node that has anyone there, once each", async () => {
    const { clock, node, pass } = world();
    const [a, b] = [node(), node()];
    await a.enter("x", "1");
    await b.enter("y", "1");
    await clock.advanceAsync(2_000);
    expect([await a.who(), await b.who()]).toEqual([
      ["x 1", "y 1"],
      ["x 1", "y 1"],
    ]);
    await a.enter("x", "2");
    await a.leave("x");
    await pass(LEASE_MS, () => b.enter("y"));
    expect(b.told()).toEqual(["join y 1", "join x 1", "update x 2", "leave x 2"]);
    expect(a.told()).toEqual(["join x 1", "join y 1", "update x 2", "leave x 2"]);
    await a.hub.close();
    await b.hub.close();
    expect(clock.timers).toBe(0);
  });

  test("[D9] leave within two heartbeats when their node dies, and not those who moved to another", async () => {
    const { clock, node, pass } = world();
    const [a, b, c] = [node(), node(), node()];
    for (const client of ["stays", "moves"]) await a.enter(client, "1", 1);
    await b.enter("own", "1");
    await c.enter("other", "1");
    await clock.advanceAsync(2_000);
    for (const one of [b, c]) one.told();
    a.kill();
    const moved = () => b.enter("moves", "1", 1);
    const staying = [moved, () => b.enter("own"), () => c.enter("other")];
    await pass(LEASE_MS - 10_000, ...staying);
    expect([b.told(), c.told()]).toEqual([[], []]);
    await pass(10_000, ...staying);
    expect([b.told(), c.told()]).toEqual([["leave stays 1"], ["leave stays 1"]]);
    expect(await c.who()).toEqual(["moves 1", "other 1", "own 1"]);
  });

  test("[D9] a client that goes from node to node with every call is one member, that never left", async () => {
    const { node, pass } = world();
    const [a, b, c] = [node(), node(), node()];
    await c.enter("watches", "1");
    let calls = 0;
    await pass(
      4 * LEASE_MS,
      () => [a, b][calls++ % 2]!.enter("x", "1", 1),
      () => c.enter("watches"),
    );
    expect(c.told()).toEqual(["join watches 1", "join x 1"]);
    // And leaves at once by any of them
    await a.leave("x", 2);
    await pass(100);
    expect(c.told()).toEqual(["leave x 1"]);
  });

  test("[D9] a node that comes late learns of everyone, however many they are", async () => {
    const { clock, node } = world();
    const a = node();
    await a.hub.open();
    for (let n = 0; n < 1_000; n++) a.hub.presence.enter(ADA, a.hub.gate.moment, LOBBY, { client: `c${n}`, data: "1" });
    await clock.advanceAsync(100);
    const b = node();
    await b.who();
    await clock.advanceAsync(2_000);
    expect(await b.who()).toEqual(await a.who());
    expect(await a.who()).toHaveLength(1_000);
  });

  test("a node that has just begun to look knows the others' members once it has settled", async () => {
    const { clock, node } = world();
    const [a, b] = [node(), node()];
    await a.enter("x", "1");
    const seen: number[] = [];
    const look = async () => {
      await b.hub.open();
      const gathering = b.hub.presence.gathering(LOBBY);
      await gathering.settle();
      seen.push(gathering.roster.count);
    };
    const looking = look();
    await clock.advanceAsync(1_000);
    await looking;
    await look();
    expect(seen).toEqual([1, 1]);
  });

  test("[D9] a channel that a node has forgotten, since nobody was there for long, is told of anew when somebody comes", async () => {
    const { node, pass } = world();
    const [a, b] = [node(), node()];
    const staying = () => a.enter("own", "1");
    await pass(1_000, staying);
    for (const client of ["x", "y", "z"]) await b.enter(client, "1");
    for (const client of ["x", "y", "z"]) await b.leave(client);
    // What it remembers of those who left is over, then a lease more
    await pass(LEASE_MS + 1_000, staying);
    await b.enter("again", "1");
    await pass(10_000, staying);
    expect(await a.who()).toEqual(["again 1", "own 1"]);
  });

  test("[D9] notices that are lost are made good within a heartbeat", async () => {
    const { bus, node, pass } = world();
    const [a, b] = [node(), node()];
    await b.enter("own", "1");
    bus.loses = 3;
    for (let n = 0; n < 50; n++) {
      await a.enter(`c${n}`, "1");
      if (n % 2 === 0) await a.leave(`c${n}`);
    }
    bus.loses = Number.POSITIVE_INFINITY;
    await pass(15_000, () => b.enter("own"));
    expect(await b.who()).toEqual(await a.who());
    expect(await a.who()).toHaveLength(26);
  });

  test("[D9] while what connects the nodes is away members are kept for the lease, and when it is back all are there again", async () => {
    const { bus, node, pass } = world();
    const [a, b] = [node(), node()];
    const staying = [() => a.enter("x", "1", 1), () => b.enter("y", "1", 1)];
    await pass(5_000, ...staying);
    bus.isAway = true;
    await pass(LEASE_MS - 15_000, ...staying);
    expect(await b.who()).toEqual(["x 1", "y 1"]);
    await pass(20_000, ...staying);
    expect([await a.who(), await b.who()]).toEqual([["x 1"], ["y 1"]]);
    bus.isAway = false;
    await pass(15_000, ...staying);
    expect([await a.who(), await b.who()]).toEqual([
      ["x 1", "y 1"],
      ["x 1", "y 1"],
    ]);
    expect(b.told()).toEqual(["join y 1", "join x 1", "leave x 1", "join x 1"]);
  });

  test("[D9] what a dead node said, and comes late, does not remove who has moved, nor bring back who has left for longer than a lease", async () => {
    const { bus, node, pass } = world();
    const [a, b] = [node(), node()];
    await b.enter("own", "1");
    await a.enter("moved", "1", 1);
    await a.enter("gone", "1", 1);
    await a.leave("moved", 2);
    await pass(100);
    const late = [...bus.said];
    a.kill();
    const staying = [() => b.enter("moved", "3", 3), () => b.enter("own")];
    await pass(2 * LEASE_MS, ...staying);
    expect(await b.who()).toEqual(["moved 3", "own 1"]);
    for (const notice of late) for (const { listener } of bus.ends) listener(notice);
    expect(await b.who()).toContain("moved 3");
    await pass(LEASE_MS, ...staying);
    expect(await b.who()).toEqual(["moved 3", "own 1"]);
  });

  test("[D7] of more than presenceNodesMax other nodes the members are not shown", async () => {
    const { node, pass } = world({ presenceNodesMax: 1 });
    const [a, b, c] = [node(), node(), node()];
    await a.enter("a", "1");
    await b.enter("b", "1");
    await c.enter("c", "1");
    await pass(2_000);
    expect(await a.who()).toHaveLength(2);
  });

  test("a channel with 10,000 members on another node costs a change one notice, and a quiet heartbeat two small ones", async () => {
    const { bus, clock, node } = world();
    const [a, b] = [node(), node()];
    for (const one of [a, b]) await one.hub.open();
    for (let n = 0; n < 10_000; n++) a.hub.presence.enter(ADA, a.hub.gate.moment, LOBBY, { client: `c${n}`, data: "1", turn: 1 });
    b.hub.presence.gathering(LOBBY);
    await clock.advanceAsync(2_000);
    expect(await b.who()).toHaveLength(10_000);
    bus.said.length = 0;
    await a.enter("c1", "2", 2);
    expect([bus.said.length, bus.said[0]!.body.length < 200]).toEqual([1, true]);
    await clock.advanceAsync(15_000);
    const digests = bus.said.slice(1);
    expect(digests.length).toBeLessThanOrEqual(3);
    expect(digests.every(({ body }) => body.includes("digest") && body.length < 150)).toBe(true);
  });
});
