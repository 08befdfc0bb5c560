import { Refused } from "./http.ts";
import { epochOf, type Inbox, positionOf } from "./inbox.ts";
import { inTime } from "./until.ts";

// biome-ignore lint/suspicious/noExplicitAny: the fields differ by type, and a test that reads a wrong one fails
export type Frame = Record<string, any>;

/** Reads frames of PROTOCOL.md §5 into an inbox, with nothing of the client library. */
export class Frames {
  readonly #inbox: Inbox;
  readonly #epochs = new Map<string, string>();
  readonly #greets: boolean;
  /** Channels that have neither begun nor been refused. */
  readonly #expected: Set<string>;
  readonly #count: number;
  /** Channels that were refused, with the code. */
  readonly refused = new Map<string, string>();
  /** The frame that came first. */
  connected: Frame | null = null;
  /** Frames that are no messages, in the order in which they came. */
  readonly others: Frame[] = [];
  readonly #ready: Promise<void>;
  #begun!: () => void;
  #failed!: (error: Error) => void;

  /** `greets`: a pipe that stays says `connected` first. */
  constructor(inbox: Inbox, channels: readonly string[], greets = true) {
    this.#inbox = inbox;
    this.#greets = greets;
    this.#expected = new Set(channels);
    this.#count = channels.length;
    this.#ready = new Promise((resolve, reject) => {
      this.#begun = resolve;
      this.#failed = reject;
    });
    this.#ready.catch(() => undefined);
    if (channels.length === 0) this.#begun();
  }

  /** Every channel has begun or was refused. Throws if none has begun. */
  ready(): Promise<void> {
    return inTime(this.#ready, () => `the beginning of ${[...this.#expected].join(" and ")}`);
  }

  take(frame: Frame): void {
    const { type, channel } = frame;
    if (this.connected === null && this.#greets) {
      if (type === "connected") this.connected = frame;
      else if (type !== "bye") this.#inbox.fail(new Error(`${JSON.stringify(frame)} came before connected.`));
    }
    if (type === undefined) {
      this.#message(frame);
      return;
    }
    this.others.push(frame);
    if (type === "subscribed") this.#begin(channel, frame["position"]);
    else if (type === "epoch") this.#epochs.set(channel, frame["epoch"]);
    else if (type === "gap") {
      this.#epochs.set(channel, epochOf(frame["resumeFrom"]));
      this.#inbox.gap(frame as never);
    } else if (type === "signal") this.#inbox.signal(frame as never);
    else if (type === "error" && channel !== undefined && this.#isSubscription(frame)) this.#refuse(channel, frame);
    else if (type === "bye") this.end({ code: frame["code"], retryAfterMs: frame["retryAfterMs"] }, frame["message"]);
  }

  /** The pipe is over. */
  end(ending: { readonly code: string; readonly retryAfterMs?: number | undefined }, message = "The pipe ended."): void {
    this.#failed(new Refused(ending.code, message, { retryAfterMs: ending.retryAfterMs }));
    this.#inbox.end(ending);
  }

  #message({ channel, id, event = "message", data, encoding }: Frame): void {
    const epoch = this.#epochs.get(channel);
    if (epoch === undefined) this.#inbox.fail(new Error(`A message of ${channel} came before its epoch was told.`));
    const value = encoding === "base64" ? new Uint8Array(Buffer.from(data, "base64")) : data;
    this.#inbox.message({ channel, event, data: value, position: positionOf(epoch ?? "", id) });
  }

  #begin(channel: string, position: string): void {
    this.#epochs.set(channel, epochOf(position));
    this.#inbox.begin(channel, position);
    this.#settle(channel);
  }

  #refuse(channel: string, { code, message, retryAfterMs }: Frame): void {
    this.refused.set(channel, code);
    if (this.refused.size === this.#count) {
      this.#failed(new Refused(code, message, { retryAfterMs }));
      this.#inbox.end({ code, retryAfterMs });
    }
    this.#settle(channel);
  }

  #settle(channel: string): void {
    this.#expected.delete(channel);
    if (this.#expected.size === 0) this.#begun();
  }

  /** Ids below 1,000 are those of subscriptions. */
  #isSubscription({ id }: Frame): boolean {
    return id === undefined || id < 1_000;
  }
}
