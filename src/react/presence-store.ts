import type { Channel } from "../client/channel.ts";
import { type Presence, presence } from "../client/presence.ts";
import type { Member } from "../client/roll.ts";

export interface PresenceStore<Data> {
  /** What this component says of itself; undefined: it only watches. */
  say(data: Data | undefined): void;
  subscribe(changed: () => void): () => void;
  get(): readonly Member<Data>[];
}

const NOBODY: readonly never[] = [];

/** Presence as React reads it: there while someone listens. */
export function createPresenceStore<Data>(channel: Channel): PresenceStore<Data> {
  const listeners = new Set<() => void>();
  let here: Presence<Data> | undefined;
  let own: Data | undefined;

  function begin(): void {
    here = presence<Data>(channel, own);
    here.on("change", () => {
      for (const listener of listeners) listener();
    });
  }

  return {
    say(data) {
      own = data;
      if (here === undefined) return;
      if (data !== undefined) here.update(data).catch(() => undefined);
      else {
        here.leave();
        begin();
      }
    },
    subscribe(changed) {
      listeners.add(changed);
      if (here === undefined) begin();
      return () => {
        listeners.delete(changed);
        if (listeners.size > 0) return;
        here?.leave();
        here = undefined;
      };
    },
    get: () => here?.members ?? NOBODY,
  };
}
