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
  // A function of its own for each, so that the same function given twice is called twice, and ended once each
  const listeners = new Set<(told: unknown, value: never) => boolean>();
  return {
    get size() {
      return listeners.size;
    },
    on(name, handler) {
      const listener = (told: unknown, value: never): boolean => {
        if (told === name) attempt(handler, value, report);
        return told === name;
      };
      listeners.add(listener);
      return subscription(() => listeners.delete(listener));
    },
    emit(name, value) {
      return [...listeners].map((listener) => listener(name, value as never)).includes(true);
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
