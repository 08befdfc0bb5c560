import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { LIMITS, withLimits } from "../protocol/limits.ts";
import type { Member, PresenceChange } from "../protocol/presence.ts";
import { keyOf, Roster } from "./roster.ts";

function member(client: string, data = 0, turn = data): Member {
  return { user: "ada", client, data: String(data), turn };
}

function stage(limits = {}) {
  const clock = handClock();
  const told: PresenceChange[] = [];
  const roster = new Roster("here", withLimits(limits), clock, (change) => told.push(change));
  return { clock, told, roster, said: () => told.splice(0).map(({ type, member: { client, data } }) => `${type} ${client} ${data}`) };
}

/** What a watcher does with what it is told. */
function apply(known: Map<string, Member>, changes: readonly PresenceChange[]): void {
  for (const { type, member } of changes) {
    if (type === "leave") known.delete(keyOf(member));
    else known.set(keyOf(member), member);
  }
}

function clientsOf(known: Iterable<Member>): string[] {
  return Array.from(known, ({ client, data }) => `${client} ${data}`).sort();
}

describe("A roster", () => {
  test("tells a join, an update and a leave once each", () => {
    const { roster, said } = stage();
    roster.put("A", member("x", 1));
    roster.put("A", member("x", 1));
    expect(said()).toEqual(["join x 1"]);
    roster.put("A", member("x", 2));
    expect(said()).toEqual(["update x 2"]);
    roster.drop("A", keyOf(member("x")));
    roster.drop("A", keyOf(member("x")));
    expect(said()).toEqual(["leave x 2"]);
    expect([roster.count, roster.position]).toEqual([0, "0.0"]);
  });

  test("[D9] a member that two nodes have is one, and leaves with the last of them", () => {
    const { roster, said } = stage();
    roster.put("A", member("x", 1));
    roster.put("B", member("x", 1));
    expect([said(), roster.count]).toEqual([["join x 1"], 1]);
    roster.drop("A", keyOf(member("x")));
    expect(said()).toEqual([]);
    roster.drop("A", keyOf(member("x")));
    roster.drop("B", keyOf(member("x")));
    expect(said()).toEqual(["leave x 1"]);
  });

  test("of two claims the one with the later turn is shown, whichever came first", () => {
    const { roster, said } = stage();
    roster.put("B", member("x", 2));
    roster.put("A", member("x", 1));
    expect(said()).toEqual(["join x 2"]);
    roster.put("A", member("x", 3));
    expect(said()).toEqual(["update x 3"]);
    roster.drop("A", keyOf(member("x")));
    expect(said()).toEqual(["update x 2"]);
  });

  test("[D9] two nodes that have heard the same stand at the same position, whatever the order", () => {
    const one = fc.record({
      owner: fc.constantFrom("A", "B"),
      client: fc.constantFrom("x", "y", "z"),
      turn: fc.nat(3),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 20 }), (claims) => {
        const last = new Map(claims.map((claim) => [`${claim.owner} ${claim.client}`, claim]));
        const [here, there] = [stage().roster, stage().roster];
        const say = (roster: Roster, { owner, client, turn, gone }: (typeof claims)[number]) => {
          if (gone) roster.drop(owner, keyOf(member(client)));
          else roster.put(owner, member(client, turn));
        };
        for (const claim of claims) say(here, claim);
        for (const claim of [...last.values()].reverse()) say(there, claim);
        expect(there.position).toBe(here.position);
        expect(clientsOf(there.members())).toEqual(clientsOf(here.members()));
      }),
    );
  });

  test("a watcher at any position that was passed is told what makes the whole", () => {
    const one = fc.record({ client: fc.constantFrom("x", "y", "z"), turn: fc.nat(5), gone: fc.boolean() });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), (acts, presenceChangesMax) => {
        const { roster } = stage({ presenceChangesMax });
        const watchers: { position: string; known: Map<string, Member> }[] = [];
        for (const { client, turn, gone } of acts) {
          watchers.push({ position: roster.position, known: new Map([...roster.members()].map((each) => [keyOf(each), each])) });
          if (gone) roster.drop("A", keyOf(member(client)));
          else roster.put("A", member(client, turn));
        }
        for (const { position, known } of watchers) {
          const changes = roster.since(position);
          if (changes === null) continue;
          apply(known, changes);
          expect(clientsOf(known.values())).toEqual(clientsOf(roster.members()));
          if (changes.length > 0) expect(changes.at(-1)!.position).toBe(roster.position);
        }
      }),
    );
  });

  test("a watcher that is cut in the middle of what it is told goes on from where it was", () => {
    const { roster } = stage();
    const start = roster.position;
    for (const [client, turn] of [
      ["x", 1],
      ["y", 1],
      ["x", 2],
      ["z", 1],
      ["x", 3],
    ] as const)
      roster.put("A", member(client, turn));
    const changes = roster.since(start)!;
    for (let cut = 0; cut <= changes.length; cut++) {
      const known = new Map<string, Member>();
      apply(known, changes.slice(0, cut));
      apply(known, roster.since(cut === 0 ? start : changes[cut - 1]!.position)!);
      expect(clientsOf(known.values())).toEqual(["x 3", "y 1", "z 1"]);
    }
  });

  test("[D7] beyond presenceChangesMax changes are forgotten, of one member's updates all but the last", () => {
    const { roster } = stage({ presenceChangesMax: 3 });
    const start = roster.position;
    roster.put("A", member("x"));
    for (let turn = 1; turn < 5; turn++) roster.put("A", member("x", turn));
    expect(roster.since(start)?.map(({ type, member: { data } }) => `${type} ${data}`)).toEqual(["join 0", "update 4"]);
    for (const client of ["a", "b"]) roster.put("A", member(client));
    expect(roster.since(start)).toBe(null);
  });

  test("a position that nobody was at, and one that is made up, are not known", () => {
    const { roster } = stage();
    roster.put("A", member("x"));
    for (const position of ["", "1.0", "7.abc", "nonsense", "7.abc.here.9", "7.abc.there.0", "7.abc.here.x"])
      expect(roster.since(position)).toBe(null);
  });

  test("[D7] pages have presencePageMax members, in the order of their keys, and all of them together everyone", () => {
    const { roster } = stage({ presencePageMax: 2 });
    for (const client of ["c", "a", "e", "b", "d"]) roster.put("A", member(client));
    const pages = [roster.page()];
    while (pages.at(-1)!.more !== null) pages.push(roster.page(pages.at(-1)!.more!));
    expect(pages.map(({ members }) => members.map((one) => one.member.client))).toEqual([["a", "b"], ["c", "d"], ["e"]]);
    expect(pages.every(({ count, position }) => count === 5 && position === pages[0]!.position)).toBe(true);
    expect(roster.since(pages[0]!.position)).toEqual([]);
  });

  test("one that came behind the first page, was on the second, and went, is told to have gone, though all is as it was", () => {
    const { roster, clock } = stage({ presencePageMax: 2 });
    for (const client of "abc") roster.put("A", member(client));
    const first = roster.page();
    const before = roster.position;
    roster.put("A", member("d"));
    clock.advance(1_000);
    expect(roster.page(first.more!).members.map((one) => one.member.client)).toEqual(["c", "d"]);
    roster.drop("A", keyOf(member("d")));
    expect(roster.position).toBe(before);
    expect(roster.since(first.position)?.map(({ type }) => type)).toEqual(["join", "leave"]);
    expect(roster.since(before)).toEqual([]);
  });

  test("pages that are read while members come and go, and what changed since the first, make the whole", () => {
    const act = fc.record({ client: fc.constantFrom(..."abcdefgh"), gone: fc.boolean(), pass: fc.nat(1_500) });
    fc.assert(
      fc.property(fc.array(act, { minLength: 4, maxLength: 20 }), (acts) => {
        const { roster, clock } = stage({ presencePageMax: 2 });
        for (const client of "abcd") roster.put("A", member(client));
        const known = new Map<string, Member>();
        let page = roster.page();
        const { position } = page;
        for (const { client, gone, pass } of acts) {
          for (const one of page.members) known.set(keyOf(one.member), one.member);
          if (gone) roster.drop("A", keyOf(member(client)));
          else roster.put("A", member(client, pass));
          clock.advance(pass);
          if (page.more === null) break;
          page = roster.page(page.more);
        }
        while (page.more !== null) {
          page = roster.page(page.more);
          for (const one of page.members) known.set(keyOf(one.member), one.member);
        }
        apply(known, roster.since(position)!);
        expect(clientsOf(known.values())).toEqual(clientsOf(roster.members()));
      }),
    );
  });

  test("[D7] a page, and what is told in one step, has as many bytes as one page of catching up, or one member", () => {
    const { roster } = stage({ catchUpBytesMax: 1_000 });
    const start = roster.position;
    const large = (client: string, chars: number): Member => ({ ...member(client), data: JSON.stringify("é".repeat(chars)) });
    for (const client of "abcd") roster.put("A", large(client, 150));
    roster.put("A", large("e", 2_000));
    const pages = [roster.page()];
    while (pages.at(-1)!.more !== null) pages.push(roster.page(pages.at(-1)!.more!));
    const clients = (shown: readonly { member: Member }[]) => shown.map((one) => one.member.client).join("");
    expect(pages.map(({ members }) => clients(members))).toEqual(["ab", "cd", "e"]);
    const steps: string[] = [];
    for (let at = start; roster.step(at)!.changes.length > 0; at = roster.step(at)!.position) steps.push(clients(roster.step(at)!.changes));
    expect(steps).toEqual(["ab", "cd", "e"]);
    expect(clients(roster.since(start)!)).toBe("abcde");
  });

  test("[D9] a watcher that is told in steps lacks nothing, also where one said something else and took it back", () => {
    const { roster } = stage({ catchUpBytesMax: 1 });
    roster.put("A", member("x", 0, 0));
    const start = roster.position;
    const known = new Map(Array.from(roster.members(), (one) => [keyOf(one), one]));
    roster.put("A", member("x", 1, 1));
    roster.put("A", member("y"));
    roster.put("A", member("x", 2, 2));
    roster.put("A", member("x", 1, 3));
    for (let step = roster.step(start)!; step.changes.length > 0; step = roster.step(step.position)!) apply(known, step.changes);
    expect(clientsOf(known.values())).toEqual(["x 1", "y 0"]);
  });

  test("[D7] changes beyond pageBytesMax bytes are forgotten, and a single one is kept", () => {
    const { roster } = stage({ pageBytesMax: 1_000 });
    const places = [roster.position];
    for (const client of "abcd") {
      roster.put("A", { ...member(client), data: JSON.stringify("x".repeat(300)) });
      places.push(roster.position);
    }
    expect(places.map((place) => roster.since(place)?.length ?? null)).toEqual([null, null, 2, 1, 0]);
    roster.put("A", { ...member("e"), data: JSON.stringify("x".repeat(2_000)) });
    expect(places.map((place) => roster.since(place)?.length ?? null)).toEqual([null, null, null, null, 1]);
  });

  test("[D7] what is kept of pages and answers does not grow with the cursors and positions that are made up", () => {
    const { roster } = stage({ presencePageMax: 10 });
    for (let n = 0; n < 100; n++) roster.put("A", member(`client-${n}`));
    const { position, more } = roster.page();
    const second = roster.page(more!);
    expect(roster.page(more!)).toBe(second);
    for (let n = 0; n < 100; n++) {
      const made = roster.page(`client-${n}!`);
      expect(roster.page(`client-${n}!`)).not.toBe(made);
    }
    expect(roster.page(more!)).toBe(second);
    // Those that could have been given out are kept while they are few
    for (let n = 0; n < 100; n++) roster.page(keyOf(member(`client-${n}`)));
    expect(roster.page(more!)).not.toBe(second);
    const [count, sum, name] = position.split(".");
    const first = roster.since(`${count}.${sum}.${name}.0`);
    expect(roster.since(`${count}.${sum}.${name}.0`)).toBe(first);
    for (let n = 1; n < 100; n++) roster.since(`${count}.${sum}.${name}.${n}`);
    expect(roster.since(`${count}.${sum}.${name}.0`)).not.toBe(first);
  });

  test("[D7] with 10,000 members a change is one step for each watcher: they share one list, and one snapshot a second", () => {
    const { roster, clock } = stage();
    for (let n = 0; n < 10_000; n++) roster.put("A", member(`client-${n}`));
    const before = roster.position;
    roster.put("A", member("late"));
    expect(roster.since(before)).toHaveLength(1);
    expect(roster.since(before)).toBe(roster.since(before));
    const first = roster.page();
    expect(first.members).toHaveLength(LIMITS.presencePageMax);
    // Ten more come within a second, and each of ten watchers asks for the first page
    for (let n = 0; n < 10; n++) {
      roster.put("A", member(`later-${n}`));
      expect(roster.page()).toBe(first);
    }
    clock.advance(1_000);
    expect(roster.page()).not.toBe(first);
  });
});
