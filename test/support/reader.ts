import { type Ending, type Gap, Inbox, type Message, type Signal } from "./inbox.ts";

/** What a reader is asked to read. */
export interface Asked {
  readonly url: string;
  /** Each with where it begins, in the text form of a From. */
  readonly channels: readonly { readonly name: string; readonly from: string }[];
  readonly token?: string | undefined;
  /** Resume by this Last-Event-ID instead; for those with the power `resumesByHeader`. */
  readonly lastEventId?: string | undefined;
}

/** A reader of any transport, in the vocabulary of the stories. */
export abstract class Reader {
  readonly inbox = new Inbox();
  /** `Last-Event-ID` as a browser would send it; empty where there is none. */
  lastEventId = "";
  /** How often it was told that the server lives though there is nothing to say. */
  heartbeats = 0;
  /** How often each channel was said to be live. */
  lives = 0;
  readonly #first: string;

  constructor(first: string) {
    this.#first = first;
  }

  /** Everything up to here has come, on its first channel. */
  get position(): string {
    return this.inbox.positions.get(this.#first) ?? "";
  }

  /** The next messages, as soon as so many have come. */
  next(count: number, patienceMs?: number): Promise<Message[]> {
    return this.inbox.next(count, patienceMs);
  }

  /** The gap that comes next. */
  gap(): Promise<Gap> {
    return this.inbox.nextGap();
  }

  signal(): Promise<Signal> {
    return this.inbox.nextSignal();
  }

  /** Why it ended. */
  ended(patienceMs?: number): Promise<Ending> {
    return this.inbox.ended(patienceMs);
  }

  /** Stops reading its socket. */
  pause(): void {
    throw new Error("This reader has no power to pause.");
  }

  resume(): void {
    throw new Error("This reader has no power to pause.");
  }

  abstract close(): void;
}
