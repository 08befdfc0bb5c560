import type { Hub } from "../../src/core/hub.ts";
import type { Notice } from "../../src/core/log.ts";
import type { ServerNode } from "./sim-node.ts";
import type { NodeLog } from "./sim-store.ts";
import type { World } from "./sim-world.ts";

/** What reaches live connections within a second (D8). */
const SECOND_MS = 1_000;
/** The node that was told tells the others at once, and again five times within a minute (PROTOCOL.md §9). */
const TELLINGS_MIN = 6;
const MINUTE_MS = 60_000;
/** A node that has just come hears what is said a moment later. */
const FOLLOW_MS = 100;

/** Of one person: not permitted from a revocation on, until permitted again. */
interface Bar {
  readonly id: string;
  readonly fromMs: number;
  permittedMs: number;
  tellings: number;
  /** By what node and number it is told. */
  told: string | null;
  /** Nodes that had the person's pipes, perhaps, and have not heard of it. */
  readonly deaf: Set<Hub>;
  /** When the last of those had. */
  knownMs: number;
}

/** What a node tells. */
interface Told {
  readonly id: string;
  readonly node: string;
  readonly number: number;
  readonly agoMs: number;
}

/** What is promised of revocations (D8, PROTOCOL.md §9), where one node of several is told. */
export class Recalls {
  readonly #world: World;
  readonly #bars: Bar[] = [];
  readonly #told = new WeakMap<Notice, Bar>();
  /** When all that is promised so far will have been judged. */
  judgedMs = 0;

  constructor(world: World) {
    this.#world = world;
  }

  isBarred(id: string): boolean {
    return this.#last(id)?.permittedMs === Number.POSITIVE_INFINITY;
  }

  bar(id: string, node: ServerNode | undefined): void {
    const { time, nodes } = this.#world;
    const hubs = nodes.filter(({ isUp }) => isUp).map(({ hub }) => hub);
    const bar: Bar = {
      id,
      fromMs: time.nowMs,
      permittedMs: Number.POSITIVE_INFINITY,
      tellings: 0,
      told: null,
      deaf: new Set(hubs),
      knownMs: Number.POSITIVE_INFINITY,
    };
    this.#bars.push(bar);
    if (node === undefined) return;
    const { hub } = node;
    bar.deaf.delete(hub);
    if (nodes.length === 1) hub.connections.revoke(id);
    else {
      hub.revocations.revoke(id);
      this.#later(MINUTE_MS, () => {
        if (node.hub === hub && node.isUp && bar.tellings < TELLINGS_MIN)
          this.#world.fail(`the others were told ${bar.tellings} times within a minute that ${id} is revoked`);
      });
    }
    this.#later(SECOND_MS, () => this.#look(bar, node, hub));
    this.#later(SECOND_MS, () => {
      if (this.#world.isQuietSince(bar.fromMs - FOLLOW_MS)) for (const one of nodes) this.#look(bar, one, one.hub);
    });
  }

  permit(id: string): void {
    const { nowMs } = this.#world.time;
    for (const bar of this.#bars) if (bar.id === id && bar.permittedMs > nowMs) bar.permittedMs = nowMs;
  }

  /**
   * Whoever comes then is let in, and stays. On another node who came just behind a revocation goes with those before it: until that node hears of it, and if
   * that is late for a second, and the later its notice is.
   */
  isPermittedSince(id: string, sinceMs: number): boolean {
    const { store } = this.#world;
    return this.#bars.every(({ id: own, permittedMs, fromMs, knownMs }) => {
      const untilMs = fromMs + SECOND_MS + store.notices.latestMs;
      const heardMs = this.#world.isSameSince(fromMs) ? knownMs : Number.POSITIVE_INFINITY;
      return own !== id || sinceMs >= Math.max(permittedMs, Math.min(untilMs, heardMs));
    });
  }

  /** No node that had pipes of a person then has yet to hear of a revocation. */
  isKnownToAll(id: string): boolean {
    return this.#bars.every((bar) => bar.id !== id || !this.#world.nodes.some(({ isUp, hub }) => isUp && bar.deaf.has(hub)));
  }

  said(notice: Notice): void {
    if (!notice.body.startsWith("revocation ")) return;
    const { id, node, number, agoMs } = JSON.parse(notice.body.slice(11)) as Told;
    const fromMs = this.#world.time.nowMs - agoMs;
    const told = `${node} ${number}`;
    const its = this.#bars.filter((one) => one.id === id && Math.abs(one.fromMs - fromMs) < 1);
    const bar = its.find((one) => one.told === told) ?? its.find((one) => one.told === null);
    if (bar === undefined) this.#world.fail(`it is told that ${id} was revoked ${agoMs} ms ago, and that was not so`);
    else {
      bar.told = told;
      bar.tellings++;
      this.#told.set(notice, bar);
    }
  }

  heard(by: NodeLog, notice: Notice): void {
    const bar = this.#told.get(notice);
    const node = this.#world.nodes.find(({ log }) => log === by);
    if (bar === undefined || node === undefined) return;
    const { hub } = node;
    if (bar.deaf.delete(hub)) this.#world.saw("a revocation by way of another node");
    if (bar.deaf.size === 0) bar.knownMs = Math.min(bar.knownMs, this.#world.time.nowMs);
    this.#later(SECOND_MS, () => this.#look(bar, node, hub));
  }

  #look({ id, permittedMs }: Bar, node: ServerNode, hub: Hub): void {
    if (node.hub !== hub) return;
    const isGone = (identity: { readonly id: string }, asked: number): boolean => identity.id === id && asked < permittedMs;
    this.#world.lookAt([node], isGone, "was revoked a second ago");
  }

  #later(ms: number, act: () => void): void {
    const { time, owner } = this.#world;
    this.judgedMs = Math.max(this.judgedMs, time.nowMs + ms + 1);
    time.after(ms, act, owner);
  }

  #last(id: string): Bar | undefined {
    return this.#bars.findLast((bar) => bar.id === id);
  }
}
