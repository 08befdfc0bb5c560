import { inTime, PATIENCE_MS } from "./until.ts";

/** A message as every reader hands it out, and as `publish` says what it published. */
export interface Message {
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
  readonly position: string;
}

export interface Gap {
  readonly channel: string;
  readonly reason: string;
  readonly since: string | null;
  readonly resumeFrom: string;
  readonly missing: number | null;
}

export interface Signal {
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
  readonly sender: string;
}

/** Why a reader ended; `cut` if nobody said. */
export interface Ending {
  readonly code: string;
  readonly retryAfterMs?: number | undefined;
}

export type Told = { readonly message: Message } | { readonly gap: Gap };

/**
 * What a reader was told, in the order in which it came. It holds every reader of every test to D2: an offset that is not the one before
 * plus one, without a gap between, fails whoever waits.
 */
export class Inbox {
  readonly #told: Told[] = [];
  readonly #signals: Signal[] = [];
  readonly #positions = new Map<string, string>();
  #ending: Ending | null = null;
  #fault: Error | null = null;
  #wake: (() => void)[] = [];

  /** Where each channel's reader stands now, taken or not. */
  get positions(): ReadonlyMap<string, string> {
    return this.#positions;
  }

  get ending(): Ending | null {
    return this.#ending;
  }

  /** How many messages and gaps wait to be taken. */
  get waiting(): number {
    return this.#told.length;
  }

  begin(channel: string, position: string): void {
    this.#positions.set(channel, position);
    this.#news();
  }

  message(message: Message): void {
    const { channel, position } = message;
    const before = this.#positions.get(channel);
    if (before !== undefined && offsetOf(position) !== offsetOf(before) + 1) {
      this.fail(new Error(`${channel} went from ${before} to ${position} without a gap between.`));
    }
    this.#positions.set(channel, position);
    this.#told.push({ message });
    this.#news();
  }

  gap(gap: Gap): void {
    const { channel, reason, since, resumeFrom, missing } = gap;
    this.#positions.set(channel, resumeFrom);
    this.#told.push({ gap: { channel, reason, since, resumeFrom, missing } });
    this.#news();
  }

  signal({ channel, event, data, sender }: Signal): void {
    this.#signals.push({ channel, event, data, sender });
    this.#news();
  }

  /** Takes over what another has not handed out yet. */
  adopt(other: Inbox): void {
    this.#told.unshift(...other.#told.splice(0));
    this.#news();
  }

  /** It is over. What is said first counts. */
  end(ending: Ending): void {
    this.#ending ??= ending;
    this.#news();
  }

  fail(error: Error): void {
    this.#fault ??= error;
    this.#news();
  }

  /** The next messages. Fails if a gap comes between them. */
  async next(count: number, patienceMs = PATIENCE_MS): Promise<Message[]> {
    await this.#until(
      () => this.#told.length >= count,
      patienceMs,
      () => `${count} messages; there were ${this.#told.length}`,
    );
    return this.#told.splice(0, count).map((told) => {
      if ("message" in told) return told.message;
      throw new Error(`A gap came before the next message: ${JSON.stringify(told.gap)}`);
    });
  }

  /** The gap that comes next. Fails if a message comes first. */
  async nextGap(): Promise<Gap> {
    await this.#until(
      () => this.#told.length > 0,
      PATIENCE_MS,
      () => "a gap",
    );
    const [told] = this.#told.splice(0, 1);
    if (told !== undefined && "gap" in told) return told.gap;
    throw new Error(`A message came before any gap: ${JSON.stringify(told)}`);
  }

  /** Whatever comes next, in a channel that another may overtake. */
  async nextTold(): Promise<Told> {
    await this.#until(
      () => this.#told.length > 0,
      PATIENCE_MS,
      () => "anything",
    );
    return this.#told.shift() as Told;
  }

  async nextSignal(): Promise<Signal> {
    await this.#until(
      () => this.#signals.length > 0,
      PATIENCE_MS,
      () => "a signal",
    );
    return this.#signals.shift() as Signal;
  }

  async ended(patienceMs = PATIENCE_MS): Promise<Ending> {
    await this.#until(
      () => this.#ending !== null,
      patienceMs,
      () => "the end",
      false,
    );
    return this.#ending as Ending;
  }

  /** Waits until something holds of what came. `endFails`: that it is over means that it never will. */
  async #until(holds: () => boolean, patienceMs: number, fact: () => string, endFails = true): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!holds()) {
        if (this.#fault !== null) throw this.#fault;
        if (endFails && this.#ending !== null) throw new Error(`It ended (${this.#ending.code}) before ${fact()}.`);
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
      if (this.#fault !== null) throw this.#fault;
    };
    await inTime(wait(), fact, patienceMs);
  }

  #news(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const one of wake) one();
  }
}

export function offsetOf(position: string): number {
  return Number(position.slice(21, 37));
}

export function epochOf(position: string): string {
  return position.slice(0, 20);
}

/** The position of a message frame's `id` in an epoch. */
export function positionOf(epoch: string, id: string): string {
  const [offset = "", tag = ""] = id.split(".");
  return `${epoch}.${offset.padStart(16, "0")}.${tag}`;
}
