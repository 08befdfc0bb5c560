import type { Gathering, Watcher } from "../core/gathering.ts";
import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import type { Place } from "../core/presence.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { RequestFrame } from "../protocol/frame.ts";
import { attend } from "./presence.ts";

/** What one WebSocket has to do with presence: made for those that have, since most have not. */
export class SocketPresence {
  readonly #hub: Hub;
  readonly #identity: Identity;
  /** Members that came in by this socket: its pongs show that they live. */
  readonly #places = new Set<Place>();
  /** What ends the waiting of questions that wait for news. */
  readonly #waits = new Set<() => void>();
  #asking = 0;
  #isOver = false;

  constructor(hub: Hub, identity: Identity) {
    this.#hub = hub;
    this.#identity = identity;
  }

  /** The JSON that a `$presence` request is answered. */
  async ask({ channel, data }: RequestFrame): Promise<string> {
    checkChannelName(channel, this.#hub.limits);
    if (this.#asking >= this.#hub.limits.connectionChannelsMax) {
      throw new ThroughlineError("too_many_requests", `${this.#asking} questions about presence have no answer yet. Wait for one of them.`);
    }
    this.#asking++;
    // Revocation ends the socket, and what it asked before that is refused then
    const caller = { hub: this.#hub, identity: this.#identity, asked: this.#hub.gate.changes };
    try {
      return await attend(
        caller,
        channel,
        data,
        (gathering, seconds) => this.#wait(gathering, seconds),
        (place) => this.#places.add(place),
      );
    } finally {
      this.#asking--;
    }
  }

  pong(): void {
    for (const place of this.#places) if (!this.#hub.presence.touch(place)) this.#places.delete(place);
  }

  /** The socket is closed. Its members stay for what is left of their leases: they may come back by another way. */
  close(): void {
    this.#isOver = true;
    for (const over of [...this.#waits]) over();
    this.#places.clear();
  }

  #wait(gathering: Gathering, seconds: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (act: () => void): void => {
        cancel();
        this.#waits.delete(over);
        this.#hub.presence.unwatch(gathering, watcher);
        act();
      };
      const over = (): void => end(resolve);
      const watcher: Watcher = { identity: this.#identity, news: over, dismiss: (error) => end(() => reject(error)) };
      const cancel = this.#hub.clock.after(seconds * 1_000, over);
      this.#waits.add(over);
      gathering.watch(watcher);
      if (this.#isOver) over();
    });
  }
}
