import type { Gathering, Watcher } from "../core/gathering.ts";
import type { Codec } from "../core/outlet.ts";
import type { RosterPage } from "../core/roster.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import { changesPartSse, changesSse, membersSse, watchingSse } from "../wire/presence.ts";
import type { Caller } from "./call.ts";
import { PLAIN } from "./codecs.ts";
import { EventStream } from "./sse.ts";

/**
 * A watcher as EventSource reads it (PROTOCOL.md §13): the members in pages, then each change. It has no queue: while its socket is full it only
 * stands where it is, and goes on from there, or with the members anew if that is forgotten by then.
 */
export class PresenceStream extends EventStream implements Watcher {
  readonly #gathering: Gathering;
  /** What it has been told leads here; null while it is given the members. */
  #position: string | null = null;
  /** The next page begins here. */
  #after = "";
  /** Where the first page leads. */
  #goal = "";

  constructor(caller: Caller, gathering: Gathering) {
    super(caller);
    this.#gathering = gathering;
  }

  /** It has no readers that could write by it. */
  get codec(): Codec {
    return PLAIN;
  }

  begin(position: string | null): void {
    const { channel } = this.#gathering;
    this.write(watchingSse({ channel, connection: this.id, heartbeatSeconds: this.hub.limits.heartbeatSeconds }, this.retryMs()));
    this.#position = position;
    // The hub may have ended it on the way
    if (this.ended) return;
    this.#gathering.watch(this);
    this.news();
  }

  news(): void {
    while (!this.ended && !this.full()) {
      const step = this.#position === null ? null : this.#gathering.roster.step(this.#position);
      if (step?.changes.length === 0) return;
      if (step === null) this.#writePage();
      else {
        this.write(step.isAll ? changesSse(step.changes) : changesPartSse(step.changes));
        this.#position = step.position;
      }
    }
  }

  dismiss(error: ThroughlineError): void {
    this.end(error);
  }

  say(): void {}

  override drained(): void {
    super.drained();
    this.news();
  }

  override closed(): void {
    super.closed();
    this.hub.presence.unwatch(this.#gathering, this);
  }

  #writePage(): void {
    const isFirst = this.#position !== null || this.#after === "";
    if (isFirst) this.#after = "";
    const page: RosterPage = this.#gathering.roster.page(this.#after);
    if (isFirst) this.#goal = page.position;
    this.#after = page.more ?? "";
    this.#position = page.more === null ? this.#goal : null;
    this.write(membersSse(page.members, page.count, isFirst, this.#position));
  }
}
