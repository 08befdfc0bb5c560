import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Member } from "../protocol/presence.ts";
import { tagOf } from "./print.ts";
import { type Digest, Replica, type Sighting, type Stretch } from "./replica.ts";
import { keyOf } from "./roster.ts";
import { TagSum } from "./tag-sum.ts";

function member(client: string, data: number): Member {
  return { user: "", client, data: String(data), turn: data };
}

/** A node that has members, and says so. */
class Owner {
  readonly has = new Map<string, Sighting>();
  n = 0;

  put(client: string): Sighting {
    const one = { n: ++this.n, key: keyOf({ user: "", client }), member: member(client, this.n) };
    this.has.set(one.key, one);
    return one;
  }

  drop(client: string): Sighting {
    const key = keyOf({ user: "", client });
    this.has.delete(key);
    return { n: ++this.n, key, member: null };
  }

  digest(): Digest {
    const sum = new TagSum();
    for (const { key, member } of this.has.values()) sum.add(tagOf(`${key}\n${member?.data}`));
    return { n: this.n, count: sum.count, sum: sum.sum };
  }

  stretch(after: string, upTo: string | null): Stretch {
    const members = [...this.has.values()].filter(({ key }) => key > after && (upTo === null || key <= upTo));
    return { n: this.n, after, upTo, members };
  }
}

type Notice =
  | { readonly type: "changed"; readonly sighting: Sighting }
  | { readonly type: "digest"; readonly digest: Digest }
  | { readonly type: "stretch"; readonly stretch: Stretch };

/** A replica, and what whoever listens to it would believe. */
class Listener {
  readonly replica = new Replica(1_000);
  readonly believes = new Map<string, Member>();

  hear(notice: Notice): string | undefined {
    if (notice.type === "digest") return this.replica.compare(notice.digest);
    const told = notice.type === "changed" ? this.replica.hear(notice.sighting) : this.replica.take(notice.stretch);
    for (const { key, member } of told) {
      if (member === null) this.believes.delete(key);
      else this.believes.set(key, member);
    }
    return undefined;
  }

  agreesWith(owner: Owner): void {
    expect([...this.replica.keys()].sort()).toEqual([...owner.has.keys()].sort());
    expect(Object.fromEntries(this.believes)).toEqual(Object.fromEntries([...owner.has].map(([key, { member }]) => [key, member])));
  }
}

const CLIENTS = ["a", "b", "c", "d"];
const acts = fc.array(fc.record({ client: fc.constantFrom(...CLIENTS), act: fc.constantFrom("put", "put", "drop", "digest", "stretch") }), {
  maxLength: 40,
});
/** What becomes of each notice: how late it comes, and how often (0: it is lost). */
const fates = fc.array(fc.record({ late: fc.nat(30), times: fc.constantFrom(0, 1, 1, 2) }), { minLength: 40, maxLength: 40 });

describe("A replica", () => {
  test("[D9] converges whatever the order, loss and repetition of notices: one digest finds what is lacking, and stretches bring it", () => {
    fc.assert(
      fc.property(acts, fates, (story, chances) => {
        const owner = new Owner();
        const arrivals: { at: number; notice: Notice; believedAt: number }[] = [];
        for (const [index, { client, act }] of story.entries()) {
          const notice: Notice =
            act === "put"
              ? { type: "changed", sighting: owner.put(client) }
              : act === "drop"
                ? { type: "changed", sighting: owner.drop(client) }
                : act === "digest"
                  ? { type: "digest", digest: owner.digest() }
                  : { type: "stretch", stretch: owner.stretch(client === "a" ? "" : keyOf({ user: "", client }), null) };
          const { late, times } = chances[index]!;
          for (let copy = 0; copy < times; copy++) arrivals.push({ at: index + late * (copy + 1), notice, believedAt: index });
        }
        arrivals.sort((one, other) => one.at - other.at);
        const listener = new Listener();
        for (const { notice } of arrivals) listener.hear(notice);
        if (listener.hear({ type: "digest", digest: owner.digest() }) !== "same") {
          const middle = keyOf({ user: "", client: "b" });
          listener.hear({ type: "stretch", stretch: owner.stretch("", middle) });
          listener.hear({ type: "stretch", stretch: owner.stretch(middle, null) });
        }
        expect(listener.hear({ type: "digest", digest: owner.digest() })).toBe("same");
        listener.agreesWith(owner);
        // And nothing that comes late, or once more, undoes it
        for (const { notice } of arrivals) listener.hear(notice);
        listener.agreesWith(owner);
      }),
      { numRuns: 500 },
    );
  });

  test("a digest that is the same shows that it has everything, at any moment of any story without loss", () => {
    fc.assert(
      fc.property(acts, (story) => {
        const [owner, listener] = [new Owner(), new Listener()];
        for (const { client, act } of story) {
          if (act === "put") listener.hear({ type: "changed", sighting: owner.put(client) });
          if (act === "drop") listener.hear({ type: "changed", sighting: owner.drop(client) });
          expect(listener.hear({ type: "digest", digest: owner.digest() })).toBe("same");
          listener.agreesWith(owner);
        }
      }),
    );
  });

  test("a late join of one that has gone is not believed, before a digest and after it", () => {
    const [owner, listener] = [new Owner(), new Listener()];
    const came = owner.put("a");
    const went = owner.drop("a");
    listener.hear({ type: "changed", sighting: went });
    listener.hear({ type: "changed", sighting: came });
    listener.agreesWith(owner);
    expect(listener.hear({ type: "digest", digest: owner.digest() })).toBe("same");
    listener.hear({ type: "changed", sighting: came });
    listener.agreesWith(owner);
  });

  test("[D7] it takes no more members of a node than a channel may have", () => {
    const replica = new Replica(2);
    const owner = new Owner();
    for (const client of CLIENTS) replica.hear(owner.put(client));
    expect([...replica.keys()]).toHaveLength(2);
    for (const client of CLIENTS) replica.hear(owner.drop(client));
    expect([...replica.keys()]).toHaveLength(0);
  });
});
