import type { Cancel } from "../protocol/clock.ts";
import type { ClientClock } from "./system.ts";

/** Someone who is on a channel: one tab, device or program of a user. */
export interface Member<Data = unknown> {
  /** The id of its identity; empty for one that did not say who they are. */
  readonly user: string;
  /** Tells the tabs of a user apart. */
  readonly client: string;
  /** What it says of itself. */
  readonly data: Data;
}

/** A member on its way, with its share in the sum. */
interface Told<Data> extends Member<Data> {
  readonly tag: number;
  readonly change?: "join" | "update" | "leave";
}

/** What the server answers (PROTOCOL.md §13). */
export interface PresenceAnswer<Data> {
  readonly leaseSeconds: number;
  /** What was said came behind this turn, and counts for nothing. */
  readonly late?: number;
  readonly position: string;
  readonly members?: readonly Told<Data>[];
  readonly more?: string;
  readonly changes?: readonly Told<Data>[];
  /** For so long it may not have heard of everyone. */
  readonly youngSeconds?: number;
}

/** What a watcher knows, and where that is. */
export interface Roll<Data> {
  readonly members: readonly Member<Data>[];
  /** What to ask next. */
  place(): { readonly position: string; readonly after?: string };
  /** True if it brought something, or more is to come. */
  take(answer: PresenceAnswer<Data>): boolean;
  end(): void;
}

type Emit = (name: "change" | "join" | "update" | "leave", value: never) => boolean;

/**
 * The members as this client knows them. Where it stands is their count and the sum of their tags, which it counts itself: should anything ever be lacking, no
 * server finds it among its own, and gives all of them anew.
 */
export function createRoll<Data>(clock: ClientClock, emit: Emit): Roll<Data> {
  let known = new Map<string, Told<Data>>();
  /** Those of whom a server that has just begun knows nothing: they have a lease to show themselves there. */
  const missed = new Map<string, Told<Data>>();
  let pages: Map<string, Told<Data>> | undefined;
  let after: string | undefined;
  /** Where to go on, if not from the sum: nowhere at first; and behind pages where the first of them leads, for what changed while the others came. */
  let goal: string | undefined = "";
  let list: readonly Member<Data>[] = [];
  let cancel: Cancel | undefined;

  function take({ members, more, changes, youngSeconds, position }: PresenceAnswer<Data>): boolean {
    let changed = false;
    const tell = (name: "join" | "update" | "leave", one: Told<Data>): void => {
      changed = true;
      emit(name, plain(one) as never);
    };
    const come = (one: Told<Data>): void => {
      const key = keyOf(one);
      const before = known.get(key) ?? missed.get(key);
      missed.delete(key);
      known.set(key, one);
      if (before?.tag !== one.tag) tell(before ? "update" : "join", one);
    };
    const go = (one: Told<Data>): void => {
      if (missed.delete(keyOf(one)) || known.delete(keyOf(one))) tell("leave", one);
    };
    if (changes) goal = undefined;
    for (const one of changes ?? []) (one.change === "leave" ? go : come)(one);
    if (members) {
      if (!pages) {
        pages = new Map();
        goal = position;
      }
      for (const one of members) pages.set(keyOf(one), one);
      after = more;
      if (!more) {
        const before = known;
        known = new Map();
        for (const [key, one] of before) (pages.has(key) ? known : missed).set(key, one);
        for (const one of pages.values()) come(one);
        pages = undefined;
        // Whoever is lacking now has gone, unless the server may not have heard of him yet
        cancel?.();
        const expire = (): void => missed.forEach(go);
        if (youngSeconds) {
          cancel = clock.after(youngSeconds * 1_000, () => {
            changed = false;
            expire();
            show();
          });
        } else expire();
      }
    }
    show();
    return changed || !!more;

    function show(): void {
      if (!changed) return;
      list = [...known.values(), ...missed.values()].map(plain);
      emit("change", list as never);
    }
  }

  return {
    get members() {
      return list;
    },
    place() {
      let sum = 0;
      for (const { tag } of known.values()) sum = (sum + tag) % 2 ** 48;
      return { position: goal ?? `${known.size}.${sum.toString(36)}`, ...(after && { after }) };
    },
    take,
    end: () => cancel?.(),
  };
}

function keyOf({ user, client }: Member): string {
  return `${client} ${user}`;
}

function plain<Data>({ user, client, data }: Told<Data>): Member<Data> {
  return { user, client, data };
}
