import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { keyOf, Roster } from "../core/roster.ts";
import { withLimits } from "../protocol/limits.ts";
import { changesJson, membersJson } from "../wire/presence.ts";
import { createRoll, type PresenceAnswer, type Roll } from "./roll.ts";

const LEASE_SECONDS = 30;

function stage(limits = {}) {
  const clock = handClock();
  const told: string[] = [];
  const roll = createRoll<number>(clock, (name, value: { client?: string }) => told.push(`${name} ${value.client ?? ""}`.trim()) > 0);
  const roster = (name = "here"): Roster => new Roster(name, withLimits({ presencePageMax: 2, ...limits }), clock, () => {});
  return { clock, told: () => told.splice(0).filter((one) => one !== "change"), roll, roster };
}

function put(roster: Roster, client: string, data = 0): void {
  roster.put("A", { user: "ada", client, data: String(data), turn: data });
}

/** What a server says to the question. */
function answer(roster: Roster, { position, after }: ReturnType<Roll<number>["place"]>, youngSeconds = 0): PresenceAnswer<number> {
  const changes = after === undefined ? roster.since(position) : null;
  const about = { leaseSeconds: LEASE_SECONDS, ...(youngSeconds > 0 && { youngSeconds }) };
  if (changes !== null) return { ...about, position: roster.position, changes: JSON.parse(changesJson(changes)) };
  const { members, more, position: goal } = roster.page(after);
  return { ...about, position: goal, members: JSON.parse(membersJson(members)), ...(more !== null && { more }) };
}

function ask(roll: Roll<number>, roster: Roster, youngSeconds = 0): void {
  do roll.take(answer(roster, roll.place(), youngSeconds));
  while (roll.place().after !== undefined);
}

function seen(roll: Roll<number>): string[] {
  return roll.members.map(({ client, data }) => `${client} ${data}`).sort();
}

function there(roster: Roster): string[] {
  return Array.from(roster.members(), ({ client, data }) => `${client} ${data}`).sort();
}

/** One page was read, and then more changed than the server remembers: the pages are read to their end, and all of them once more. */
const TOO_MUCH_BEHIND_A_PAGE: [{ client: string; data: number; gone: boolean; asks: boolean }[], number] = [
  [
    { client: "c", data: 0, gone: false, asks: false },
    { client: "d", data: 0, gone: false, asks: false },
    { client: "a", data: 0, gone: false, asks: true },
    { client: "e", data: 0, gone: false, asks: false },
    { client: "f", data: 0, gone: false, asks: false },
    { client: "a", data: 1, gone: false, asks: false },
  ],
  2,
];

describe("A roll", () => {
  test("[D9] becomes what the server has, whatever happens between the questions, and tells each difference once", () => {
    const act = fc.record({ client: fc.constantFrom(..."abcdef"), data: fc.nat(5), gone: fc.boolean(), asks: fc.boolean() });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), fc.constantFrom(2, 5, 1_000), (acts, presenceChangesMax) => {
        const { roll, roster, told, clock } = stage({ presenceChangesMax });
        const server = roster();
        const believed = new Set<string>();
        for (const { client, data, gone, asks } of acts) {
          if (gone) server.drop("A", keyOf({ user: "ada", client }));
          else put(server, client, data);
          clock.advance(700);
          // One question alone: the pages of one list may be read while all changes
          if (asks) roll.take(answer(server, roll.place()));
        }
        // The rest of the pages that it was reading; all anew, if too much has changed since; and what came since those
        for (let times = 0; times < 3; times++) ask(roll, server);
        expect(seen(roll)).toEqual(there(server));
        expect(roll.place().position).toBe(server.position);
        for (const one of told()) {
          const [name, client = ""] = one.split(" ");
          expect(believed.has(client), one).toBe(name !== "join");
          if (name === "join") believed.add(client);
          if (name === "leave") believed.delete(client);
        }
        expect([...believed].sort()).toEqual(roll.members.map(({ client }) => client).sort());
      }),
      { examples: [TOO_MUCH_BEHIND_A_PAGE] },
    );
  });

  test("goes on at another node that has the same, and is told nothing", () => {
    const { roll, roster, told } = stage();
    const [here, other] = [roster("here"), roster("there")];
    for (const client of "abc") put(here, client);
    for (const client of "cab") put(other, client);
    ask(roll, here);
    // Where pages lead is known to one node alone: it asks once more
    ask(roll, here);
    told();
    expect(answer(other, roll.place())).toMatchObject({ changes: [] });
  });

  test("asks for what changed while its pages came, and not for all of them again", () => {
    const { roll, roster, clock } = stage();
    const server = roster();
    for (const client of "abcdef") put(server, client);
    roll.take(answer(server, roll.place()));
    // What it then has, the old one and the new, was never all there was
    for (const [client, data] of [
      ["a", 1],
      ["h", 0],
    ] as const) {
      put(server, client, data);
      clock.advance(1_000);
      roll.take(answer(server, roll.place()));
    }
    while (roll.place().after !== undefined) roll.take(answer(server, roll.place()));
    const last = answer(server, roll.place());
    expect(last.changes).toBeDefined();
    roll.take(last);
    expect(seen(roll)).toEqual(there(server));
  });

  test("finds out that it lacks something, and is given all anew", () => {
    const { roll, roster, told } = stage();
    const server = roster();
    for (const client of "abc") put(server, client);
    ask(roll, server);
    ask(roll, server);
    put(server, "d");
    const lost = answer(server, roll.place());
    roll.take({ ...lost, changes: [] });
    ask(roll, server);
    put(server, "e");
    ask(roll, server);
    expect(seen(roll)).toEqual(there(server));
    expect(told().filter((one) => one === "join d")).toHaveLength(1);
  });

  test("[D9] a server that has just begun makes nobody leave before it has looked for a lease, and then those who did not come back", () => {
    const { roll, roster, told, clock } = stage();
    const before = roster();
    for (const client of "abc") put(before, client);
    ask(roll, before);
    told();
    const after = roster("after");
    put(after, "a");
    ask(roll, after, 20);
    expect([told(), seen(roll)]).toEqual([[], ["a 0", "b 0", "c 0"]]);
    put(after, "b");
    ask(roll, after, 20);
    clock.advance(20_000);
    expect([told(), seen(roll)]).toEqual([["leave c"], ["a 0", "b 0"]]);
    roll.end();
    expect(clock.timers).toBe(0);
  });
});
