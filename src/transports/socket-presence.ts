import type { Gathering, Watcher } from "../core/gathering.ts";
import type { Place } from "../core/presence.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import type { Cancel } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { RequestFrame } from "../protocol/frame.ts";
import type { Pipe } from "./pipe.ts";
import { attend } from "./presence.ts";

/** What one WebSocket has to do with presence: made for those that have, since most have not. */
export class SocketPresence {
  readonly #pipe: Pipe;
  /** Members that came in by this socket, the latest last: its pongs show that they live. */
  readonly #places = new Set<Place>();
  /** What ends the waiting of questions that wait for news, or for room. */
  readonly #waits = new Set<() => void>();
  /** Those that wait for room, in turn. */
  readonly #unsaid = new Set<() => void>();
  #asking = 0;
  #isOver = false;

  constructor(pipe: Pipe) {
    this.#pipe = pipe;
  }

  /** Says the JSON that a `$presence` request is answered, once there is room for it. */
  async ask({ channel, data }: RequestFrame, say: (json: string) => void): Promise<void> {
    const { hub, identity } = this.#pipe;
    checkChannelName(channel, hub.limits);
    if (this.#asking >= hub.limits.connectionChannelsMax) {
      throw new ThroughlineError("too_many_requests", `${this.#asking} questions about presence have no answer yet. Wait for one of them.`);
    }
    this.#asking++;
    // Revocation ends the socket, and what it asked before that is refused then
    const caller = { hub, identity, asked: hub.gate.moment };
    try {
      const news = (gathering: Gathering, seconds: number): Promise<void> => this.#news(gathering, seconds);
      const { gathering, json } = await attend(caller, channel, data, news, (place) => this.#keep(place));
      if (gathering !== null && this.#pipe.full()) await this.#room(gathering, () => say(json()));
      else say(json());
    } finally {
      this.#asking--;
    }
  }

  pong(): void {
    for (const place of this.#places) if (!this.#pipe.hub.presence.touch(place)) this.#places.delete(place);
  }

  /** The socket takes more. */
  relieved(): void {
    for (const turn of this.#unsaid) {
      if (this.#pipe.full()) return;
      turn();
    }
  }

  /** The socket is closed. Its members stay for what is left of their leases: they may come back by another way. */
  close(): void {
    this.#isOver = true;
    for (const over of [...this.#waits]) over();
    this.#places.clear();
  }

  /** Who this is was asked when the socket was opened. Anyone may say that he is many. The others say again that they are there, as members do that came in by another way. */
  #keep(place: Place): void {
    place.asked = this.#pipe.asked;
    this.#places.delete(place);
    this.#places.add(place);
    if (this.#places.size <= this.#pipe.hub.limits.connectionChannelsMax) return;
    const [earliest] = this.#places;
    this.#places.delete(earliest!);
  }

  /** Resolves when there is news, after so many seconds, or once the socket is closed. */
  #news(gathering: Gathering, seconds: number): Promise<void> {
    return this.#wait(gathering, (over) => ({ news: over, undo: this.#pipe.hub.clock.after(seconds * 1_000, over) }));
  }

  /** Acts once there is room, if the socket is not closed before. It is a watcher until then, as permission may be taken away meanwhile. */
  #room(gathering: Gathering, act: () => void): Promise<void> {
    return this.#wait(gathering, (over) => {
      const turn = (): void => {
        over();
        act();
      };
      this.#unsaid.add(turn);
      return { news: () => {}, undo: () => this.#unsaid.delete(turn) };
    });
  }

  #wait(gathering: Gathering, begin: (over: () => void) => { readonly news: () => void; readonly undo: Cancel }): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (act: () => void): void => {
        undo();
        this.#waits.delete(over);
        this.#pipe.hub.presence.unwatch(gathering, watcher);
        act();
      };
      const over = (): void => end(resolve);
      const { news, undo } = begin(over);
      const watcher: Watcher = {
        identity: this.#pipe.identity,
        asked: this.#pipe.asked,
        news,
        dismiss: (error) => end(() => reject(error)),
      };
      this.#waits.add(over);
      gathering.watch(watcher);
      if (this.#isOver) over();
    });
  }
}
