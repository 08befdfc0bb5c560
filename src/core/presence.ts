import type { Cancel, Clock, Random } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Member, PresenceChange } from "../protocol/presence.ts";
import type { Flusher } from "./flusher.ts";
import { type Gate, revoked } from "./gate.ts";
import { Gathering, type Watcher } from "./gathering.ts";
import type { Identity } from "./identity.ts";
import type { Log, Notice } from "./log.ts";
import { noticeOf, readNotice } from "./notice.ts";
import type { PresenceNotice } from "./presence-notice.ts";
import { keyOf } from "./roster.ts";
import { ticks } from "./ticks.ts";

export interface PresenceContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly gate: Gate;
  readonly flusher: Flusher;
  readonly onChange: (channel: string, change: PresenceChange) => void;
}

/** What a client says of itself. */
export interface Entrance {
  readonly client: string;
  /** JSON text. Absent: as it was. */
  readonly data?: string | undefined;
  /** Absent: after whatever it said before. */
  readonly turn?: number | undefined;
}

/** A member that came in by this node, as long as it shows that it lives. */
export interface Place {
  readonly key: string;
  readonly channel: string;
  identity: Identity;
  turn: number;
  /** The moment, as the gate has it, when it was asked who this is. */
  asked: number;
  heardMs: number;
  /** It said that it leaves. Remembered for a lease, since what it said before may come behind it. */
  hasLeft: boolean;
}

/** What nodes tell each other of it begins with this. */
const ABOUT = "presence";
/** A member, or a node, that shows no sign of life for so many heartbeats has gone. */
const LEASE_HEARTBEATS = 2;
/** A heartbeat has so many ticks, and each channel says what it has twice in one: not all of them at once. */
const SHARES = 60;
const DIGEST_SHARES = SHARES / 2;
/** How long a channel on which nobody was seen is kept: longer than other nodes take to say whom they have. */
const UNTOUCHED_MS = 1_000;

/**
 * Who is where, on this node: members by their leases, channels by their gatherings. A lease is renewed by whatever shows that the client lives: its pong on
 * a WebSocket, or that it says again that it is there. So nothing is decided by a pipe that closes: a client that comes back in time has never left, whichever
 * way it comes.
 */
export class Presence {
  readonly leaseMs: number;
  readonly #context: PresenceContext;
  readonly #startedMs: number;
  readonly #gatherings = new Map<string, Gathering>();
  /** What is to be undone with each, and when it says what it has. */
  readonly #begun = new Map<Gathering, { readonly unfollow: () => void; readonly share: number }>();
  /** Those that nobody on this node needs now. */
  readonly #resting = new Map<Gathering, Cancel>();
  /** By channel and key; whoever was heard last stands last, so the first is the next whose lease is over. */
  readonly #places = new Map<string, Place>();
  #cancelLease: Cancel | null = null;
  #cancelTick: Cancel | null = null;
  #tick = 0;
  #isClosed = false;

  constructor(context: PresenceContext) {
    this.#context = context;
    this.#startedMs = context.clock.elapsed();
    this.leaseMs = LEASE_HEARTBEATS * context.limits.heartbeatSeconds * 1_000;
  }

  /** Members that came in by this node. */
  get size(): number {
    return this.#places.size;
  }

  /** The channel's members, for whoever was allowed to know. The engine is open. */
  gathering(channel: string): Gathering {
    if (this.#isClosed) throw new ThroughlineError("restart", "The server is stopping. Come back in a moment.", { retryAfterMs: 1_000 });
    let gathering = this.#gatherings.get(channel);
    if (gathering === undefined) gathering = this.#begin(channel);
    this.#resting.get(gathering)?.();
    this.#resting.delete(gathering);
    if (gathering.isIdle) this.#rest(gathering);
    return gathering;
  }

  /** It lives, and is on the channel. Whoever calls this has asked the gate, at this moment, and opened the engine. */
  enter(identity: Identity, asked: number, channel: string, { client, data, turn }: Entrance): { place: Place; isLate: boolean } {
    const gathering = this.gathering(channel);
    const key = keyOf({ user: identity.id, client });
    const known = this.#places.get(placeOf(channel, key));
    const shown = gathering.roster.get(key);
    if (known === undefined || known.hasLeft) this.#admit(gathering, shown !== undefined, known !== undefined);
    const said = this.#after(known, shown, data, turn);
    const place: Place = known ?? { key, channel, identity, turn: said.turn, asked, heardMs: 0, hasLeft: false };
    place.identity = identity;
    place.asked = asked;
    this.#renew(place);
    // What it said before it left, or before it said something else, came late
    const isLate = turn !== undefined && (turn < said.turn || (place.hasLeft && turn <= place.turn));
    if (isLate && place.hasLeft) return { place, isLate };
    place.hasLeft = false;
    place.turn = said.turn;
    gathering.put({ user: identity.id, client, ...said });
    return { place, isLate };
  }

  /** It says that it goes. Gives the turn of what it said since, if that came before: then it stays. */
  leave(identity: Identity, channel: string, { client, turn }: Entrance): number | null {
    const gathering = this.gathering(channel);
    const key = keyOf({ user: identity.id, client });
    const known = this.#places.get(placeOf(channel, key));
    const last = Math.max(known?.turn ?? 0, gathering.roster.get(key)?.turn ?? 0);
    if (turn !== undefined && turn < last) return last;
    const place: Place = known ?? { key, channel, identity, turn: last, asked: 0, heardMs: 0, hasLeft: true };
    place.turn = turn ?? last;
    if (known !== undefined || this.#places.size < this.#context.limits.presencePlacesMax) this.#renew(place);
    this.#out(place, gathering);
    gathering.tellOut(key, place.turn);
    this.#rest(gathering);
    return null;
  }

  /** A sign of life. False if it is a member no more. */
  touch(place: Place): boolean {
    if (place.hasLeft || this.#places.get(placeOf(place.channel, place.key)) !== place) return false;
    this.#renew(place);
    return true;
  }

  /** Somebody who watches has gone, perhaps the last. */
  unwatch(gathering: Gathering, watcher: Watcher): void {
    gathering.unwatch(watcher);
    this.#rest(gathering);
  }

  /** For how long somebody may yet be on the channel of whom this node has not heard. */
  youngMs(gathering: Gathering): number {
    const { clock, log } = this.#context;
    return Math.max(0, this.leaseMs - (log.notify === undefined ? clock.elapsed() - this.#startedMs : gathering.ageMs));
  }

  /** An identity that was revoked, as far as it asked before a moment of the gate, is nowhere any more. */
  revoke(id: string, until: number): void {
    for (const place of [...this.#places.values()]) if (place.identity.id === id && place.asked < until) this.#end(place);
    for (const gathering of this.#gatherings.values()) {
      for (const watcher of [...gathering.watchers]) if (watcher.identity.id === id && watcher.asked < until) watcher.dismiss(revoked());
    }
  }

  /** Asks again for everyone (of one identity, if named) who is somewhere or watches, and ends those that are refused now. */
  async review(id?: string): Promise<void> {
    const { gate } = this.#context;
    const asked: Promise<void>[] = [];
    const isMeant = (identity: Identity): boolean => id === undefined || identity.id === id;
    for (const place of this.#places.values()) {
      const { identity, channel } = place;
      if (isMeant(identity))
        asked.push(
          gate.allows(identity, "presence", channel).then((allowed) => {
            // Whoever came in again meanwhile was asked about after the review
            if (!allowed && place.identity === identity) this.#end(place);
          }),
        );
    }
    for (const { channel, watchers } of this.#gatherings.values()) {
      for (const watcher of watchers) {
        if (!isMeant(watcher.identity)) continue;
        const refused = new ThroughlineError("revoked", `You may no longer watch ${channel}.`);
        asked.push(gate.allows(watcher.identity, "watch", channel).then((allowed) => (allowed ? undefined : watcher.dismiss(refused))));
      }
    }
    await Promise.all(asked);
  }

  /** Takes what another node says of the members of a channel. False: it is about something else. */
  heard(heard: Notice): boolean {
    const notice = readNotice<PresenceNotice>(ABOUT, heard);
    if (notice === null) return false;
    const { channel } = heard;
    const gathering = this.#gatherings.get(channel);
    if (gathering === undefined) return true;
    if (notice.type !== "out") {
      gathering.hear(notice);
      return true;
    }
    const place = this.#places.get(placeOf(channel, notice.key));
    if (place === undefined || place.hasLeft || place.turn > notice.turn) return true;
    place.turn = notice.turn;
    this.#out(place, gathering);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelLease?.();
    this.#cancelTick?.();
    for (const cancel of this.#resting.values()) cancel();
    for (const [gathering, { unfollow }] of this.#begun) {
      gathering.close();
      unfollow();
    }
    this.#places.clear();
    this.#gatherings.clear();
    this.#begun.clear();
  }

  /** What it says now, beside what is known of it. */
  #after(
    known: Place | undefined,
    shown: Member | undefined,
    data: string | undefined,
    turn: number | undefined,
  ): { data: string; turn: number } {
    const last = Math.max(known?.turn ?? 0, shown?.turn ?? 0);
    const before = shown?.data ?? "null";
    if (turn !== undefined && shown !== undefined && turn < last) return { data: before, turn: last };
    const isNews = data !== undefined && data !== before;
    return { data: data ?? before, turn: turn ?? (isNews || known?.hasLeft === true ? last + 1 : last) };
  }

  #admit(gathering: Gathering, isShown: boolean, hasPlace: boolean): void {
    const { presenceMembersMax, presencePlacesMax } = this.#context.limits;
    const isFull = !isShown && gathering.roster.count >= presenceMembersMax;
    if (!isFull && (hasPlace || this.#places.size < presencePlacesMax)) return;
    const what = isFull ? `${gathering.channel} has ${presenceMembersMax} members` : `This node holds ${presencePlacesMax} members`;
    throw new ThroughlineError("overloaded", `${what}, as many as it may. Come back later.`, { retryAfterMs: 5_000 });
  }

  #renew(place: Place): void {
    const name = placeOf(place.channel, place.key);
    place.heardMs = this.#context.clock.elapsed();
    this.#places.delete(name);
    this.#places.set(name, place);
    this.#cancelLease ??= this.#nextLease(this.leaseMs);
  }

  #out(place: Place, gathering: Gathering): void {
    place.hasLeft = true;
    gathering.drop(place.key);
  }

  #end(place: Place): void {
    const name = placeOf(place.channel, place.key);
    if (this.#places.get(name) !== place) return;
    this.#places.delete(name);
    const gathering = this.#gatherings.get(place.channel);
    if (gathering === undefined) return;
    gathering.drop(place.key);
    this.#rest(gathering);
  }

  #nextLease(ms: number): Cancel {
    const { clock } = this.#context;
    return clock.after(ms, () => {
      this.#cancelLease = null;
      for (const place of this.#places.values()) {
        const leftMs = place.heardMs + this.leaseMs - clock.elapsed();
        if (leftMs > 0) {
          this.#cancelLease = this.#nextLease(leftMs);
          return;
        }
        this.#end(place);
      }
    });
  }

  #begin(channel: string): Gathering {
    const { log, clock, random, limits, flusher, onChange } = this.#context;
    if (this.#gatherings.size >= limits.presenceChannelsMax) {
      const sentence = `This node knows who is on ${limits.presenceChannelsMax} channels, as many as it may. Come back later.`;
      throw new ThroughlineError("overloaded", sentence, { retryAfterMs: 5_000 });
    }
    const notify =
      log.notify === undefined ? null : (name: string, notice: PresenceNotice): void => log.notify?.(noticeOf(ABOUT, name, notice));
    // Notices are heard where a channel is followed; what is stored there is of no interest
    const unfollow = notify === null ? () => {} : log.follow(channel, () => {});
    // Another name each time: what it says is numbered from 1 on
    const gathering = new Gathering(channel, { node: random.letters(12), clock, limits, flusher, leaseMs: this.leaseMs, notify, onChange });
    this.#gatherings.set(channel, gathering);
    this.#begun.set(gathering, { unfollow, share: Math.floor(random.fraction() * DIGEST_SHARES) });
    if (notify !== null) this.#cancelTick ??= this.#beginTicks();
    return gathering;
  }

  /** Nobody is here by way of this node. It is kept for a while if anyone was: a watcher that asks again is told what became of them. */
  #rest(gathering: Gathering): void {
    if (!gathering.isIdle || this.#resting.has(gathering) || this.#gatherings.get(gathering.channel) !== gathering) return;
    const restMs = gathering.roster.isUntouched ? UNTOUCHED_MS : this.leaseMs;
    this.#resting.set(
      gathering,
      this.#context.clock.after(restMs, () => {
        this.#resting.delete(gathering);
        if (!gathering.isIdle) return;
        // Other nodes may have had somebody to tell of
        if (restMs === UNTOUCHED_MS && !gathering.roster.isUntouched) this.#rest(gathering);
        else this.#forget(gathering);
      }),
    );
  }

  #forget(gathering: Gathering): void {
    this.#gatherings.delete(gathering.channel);
    gathering.close();
    this.#begun.get(gathering)?.unfollow();
    this.#begun.delete(gathering);
    if (this.#gatherings.size > 0) return;
    this.#cancelTick?.();
    this.#cancelTick = null;
  }

  #beginTicks(): Cancel {
    const { clock, limits } = this.#context;
    return ticks(clock, (limits.heartbeatSeconds * 1_000) / SHARES, () => {
      this.#tick = (this.#tick + 1) % DIGEST_SHARES;
      for (const [gathering, { share }] of this.#begun) if (share === this.#tick) gathering.tellDigest();
    });
  }
}

/** A channel has no spaces. */
function placeOf(channel: string, key: string): string {
  return `${channel} ${key}`;
}
