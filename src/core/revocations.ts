import type { Cancel, Clock } from "../protocol/clock.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Connections } from "./connection.ts";
import type { Log, Notice } from "./log.ts";
import { noticeOf, readNotice } from "./notice.ts";
import type { Presence } from "./presence.ts";

/** What nodes say of them begins with this. */
const ABOUT = "revocation";
/** Followed by every node. Nothing is stored there. */
const CHANNEL = "throughline/revocations";
/** What is told may be lost, so it is told again after these times, each behind the last. */
const AGAIN_MS = [200, 800, 3_000, 10_000, 30_000];
/** Who asked so soon after a revocation may have been let in by a node that had not heard of it. */
const SLACK_MS = 1_000;

interface RevocationsContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly connections: Connections;
  readonly presence: Presence;
  /** Names this one among the nodes. */
  readonly node: () => string;
  /** Resolves once the log can be used. */
  readonly opened: () => Promise<void>;
}

/** What a node tells the others. `number` is the node's own, and `id` null where it is everyone. */
interface Recall {
  readonly type: "revoke" | "review";
  readonly id: string | null;
  readonly node: string;
  readonly number: number;
  readonly agoMs: number;
}

/** The same, as the node itself has it: when it was by its own clock. */
type Telling = Pick<Recall, "type" | "id" | "number"> & { readonly sinceMs: number };

/** Takes permission back from who is here already, on this node and on those that it is connected with. */
export class Revocations {
  readonly #context: RevocationsContext;
  #isOpen = false;
  #isClosed = false;
  #number = 0;
  /** What is still being told, the oldest first. */
  readonly #telling = new Map<number, Cancel>();
  /** What other nodes have told of late: each counts once, or someone who was let in again would be ended by a repetition. */
  readonly #heard = new Set<string>();

  constructor(context: RevocationsContext) {
    this.#context = context;
  }

  /** Ends every pipe of an identity, and its presence. */
  revoke(id: string): void {
    this.#revoke(id, 0);
    this.#tell("revoke", id);
  }

  /** Asks again for every live reader, member and watcher (of one identity, if named), and ends those that are refused now. Resolves once this node has. */
  review(id?: string): Promise<void> {
    this.#tell("review", id ?? null);
    return this.#review(id);
  }

  /** The log is open: other nodes are heard from now on. */
  open(): void {
    const { log } = this.#context;
    this.#isOpen = true;
    if (log.notify !== undefined) log.follow(CHANNEL, () => {});
  }

  /** Takes what another node tells. False: it is about something else. */
  heard(heard: Notice): boolean {
    const recall = readNotice<Recall>(ABOUT, heard);
    if (recall === null) return false;
    const { node, number, type, id, agoMs } = recall;
    const print = `${node} ${number}`;
    if (this.#heard.has(print)) return true;
    this.#heard.add(print);
    if (this.#heard.size > this.#context.limits.revocationsMax) this.#heard.delete(this.#heard.values().next().value!);
    if (type === "review") void this.#review(id ?? undefined);
    else if (id !== null) this.#revoke(id, agoMs);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#telling.values()) cancel();
    this.#telling.clear();
  }

  #revoke(id: string, agoMs: number): void {
    const { connections, presence } = this.#context;
    presence.revoke(id, connections.revoke(id, Math.max(0, agoMs - SLACK_MS)));
  }

  async #review(id: string | undefined): Promise<void> {
    const { connections, presence } = this.#context;
    await Promise.all([connections.review(id), presence.review(id)]);
  }

  #tell(type: Recall["type"], id: string | null): void {
    const { log, clock, opened } = this.#context;
    if (log.notify === undefined) return;
    const telling: Telling = { type, id, number: ++this.#number, sinceMs: clock.elapsed() };
    const say = (): void => this.#say(telling, 0);
    // A node that nobody has used yet has not opened its log. If it cannot, it is told again later
    if (this.#isOpen) say();
    else void opened().then(say, say);
  }

  #say(telling: Telling, times: number): void {
    if (this.#isClosed) return;
    const { log, clock, limits, node } = this.#context;
    const { type, id, number, sinceMs } = telling;
    const recall: Recall = { type, id, node: node(), number, agoMs: Math.round(clock.elapsed() - sinceMs) };
    log.notify?.(noticeOf(ABOUT, CHANNEL, recall));
    const ms = AGAIN_MS[times];
    if (ms === undefined) {
      this.#telling.delete(number);
      return;
    }
    const cancel = clock.after(ms, () => this.#say(telling, times + 1));
    this.#telling.set(number, cancel);
    if (this.#telling.size <= limits.revocationsMax) return;
    const [oldest, cancelOldest] = this.#telling.entries().next().value!;
    cancelOldest();
    this.#telling.delete(oldest);
  }
}
