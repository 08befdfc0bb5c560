/** Ends what began it: a subscription, a listener. Ending twice does nothing. `using` works. */
export interface Subscription extends Disposable {
  unsubscribe(): void;
}

export function subscription(end: () => void): Subscription {
  return { unsubscribe: end, [Symbol.dispose]: end };
}

/** Named events for an application's own functions: one that throws is reported, and breaks nothing. */
export interface Emitter<Events> {
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => unknown): Subscription;
  /** How many listen. */
  readonly size: number;
  /** True if someone listened. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): boolean;
}

export function createEmitter<Events>(report: (error: unknown) => void): Emitter<Events> {
  // An object for each, so that the same function given twice is called twice, and ended once each
  const listeners = new Set<{ readonly name: unknown; readonly handler: (value: never) => unknown }>();
  return {
    get size() {
      return listeners.size;
    },
    on(name, handler) {
      const listener = { name, handler };
      listeners.add(listener);
      return subscription(() => listeners.delete(listener));
    },
    emit(name, value) {
      let heard = false;
      for (const listener of [...listeners]) {
        if (listener.name !== name) continue;
        heard = true;
        attempt(listener.handler, value as never, report);
      }
      return heard;
    },
  };
}

/** Calls an application's function. What it throws, or rejects with, goes to `report`. */
export function attempt<Value>(handler: (value: Value) => unknown, value: Value, report: (error: unknown) => void): void {
  try {
    (handler(value) as Promise<unknown> | undefined)?.catch?.(report);
  } catch (error) {
    report(error);
  }
}
