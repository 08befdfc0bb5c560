import type { PresenceChange } from "../protocol/presence.ts";
import type { Connection } from "./connection.ts";
import type { Identity } from "./identity.ts";
import { textOfThrown } from "./thrown.ts";

/** What the hub tells an application that asked by `on`. */
export interface HubEvents {
  connect: Connection;
  disconnect: Connection;
  publish: { readonly channel: string; readonly event: string; readonly position: string; readonly identity: Identity };
  presence: {
    readonly channel: string;
    readonly change: PresenceChange["type"];
    readonly member: { readonly user: string; readonly client: string; readonly data: unknown };
  };
}

/** An application's own functions that want to know: one that throws disturbs nobody. */
export class Listeners {
  readonly #all = new Map<keyof HubEvents, Set<(detail: never) => void>>();
  readonly #warn: (sentence: string) => void;

  constructor(warn: (sentence: string) => void) {
    this.#warn = warn;
  }

  has(name: keyof HubEvents): boolean {
    return this.#all.has(name);
  }

  on<Name extends keyof HubEvents>(name: Name, listener: (detail: HubEvents[Name]) => void): () => void {
    let listeners = this.#all.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#all.set(name, listeners);
    }
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#all.delete(name);
    };
  }

  emit<Name extends keyof HubEvents>(name: Name, detail: HubEvents[Name]): void {
    for (const listener of this.#all.get(name) ?? []) {
      try {
        const told = (listener as (detail: HubEvents[Name]) => unknown)(detail);
        if (told instanceof Promise) told.catch((error) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }

  #failed(name: keyof HubEvents, error: unknown): void {
    this.#warn(`A listener of ${name} threw: ${textOfThrown(error)}`);
  }
}
