import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PresenceChange, Shown } from "../protocol/presence.ts";
import { changesJson, changesPartSse, changesSse, membersJson, membersSse } from "./presence.ts";

const shown = fc
  .record({ user: fc.string({ unit: "binary" }), client: fc.constantFrom("a", "b-2"), data: fc.json(), tag: fc.nat() })
  .map(({ user, client, data, tag }): Shown => ({ member: { user, client, data: JSON.stringify(JSON.parse(data)), turn: 1 }, tag }));
const change = fc
  .tuple(shown, fc.constantFrom("join", "update", "leave"))
  .map(([one, type]): PresenceChange => ({ ...one, type: type as "join", position: "1.abc" }));

const plain = ({ member: { user, client, data }, tag }: Shown) => JSON.parse(JSON.stringify({ user, client, data: JSON.parse(data), tag }));

describe("Presence on the wire", () => {
  test("is JSON, whatever the users are called and say of themselves", () => {
    fc.assert(
      fc.property(fc.array(change), (all) => {
        expect(JSON.parse(membersJson(all))).toEqual(all.map(plain));
        expect(JSON.parse(changesJson(all))).toEqual(all.map((one) => ({ change: one.type, ...plain(one) })));
      }),
    );
  });

  test("is one event for each change, of which the last leads on, and one for a page", () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1 }), (all) => {
        const events = eventsOf(changesSse(all));
        const told = (id: string) => all.map((one, n) => ({ event: one.type, id: n === all.length - 1 ? id : "", data: plain(one) }));
        expect(events).toEqual(told("1.abc"));
        expect(eventsOf(changesPartSse(all))).toEqual(told(""));
        const [page] = eventsOf(membersSse(all, 7, true, null));
        expect(page).toEqual({ event: "members", id: "", data: { count: 7, first: true, last: false, members: all.map(plain) } });
      }),
    );
  });

  test("a list is written once, however many watchers it is told to", () => {
    const all: PresenceChange[] = [];
    expect(changesSse(all)).toBe(changesSse(all));
  });
});

function eventsOf(bytes: Uint8Array): { event: string; id: string; data: unknown }[] {
  return new TextDecoder()
    .decode(bytes)
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => {
      const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
      return { event: fields.get("event") ?? "", id: fields.get("id") ?? "", data: JSON.parse(fields.get("data") ?? "null") };
    });
}
