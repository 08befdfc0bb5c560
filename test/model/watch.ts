import type { Codec, Outlet } from "../../src/core/outlet.ts";
import type { Reader } from "../../src/core/reader.ts";
import { same } from "../../src/core/tail.ts";
import type { Batch } from "../../src/protocol/entry.ts";
import type { ThroughlineError } from "../../src/protocol/error.ts";
import type { GapFrame, ServerFrame, SignalFrame } from "../../src/protocol/frame.ts";
import { formatPosition, type Position, parsePosition } from "../../src/protocol/position.ts";
import type { Truth } from "./truth.ts";

interface Made {
  readonly batch: Batch;
  readonly epochTold: string;
}

/** A codec that keeps what it is given. Counts what it made. */
export class WatchCodec implements Codec {
  readonly shared: boolean;
  made = 0;

  constructor(shared: boolean) {
    this.shared = shared;
  }

  batch(batch: Batch, epochTold: string): Made {
    this.made++;
    return { batch, epochTold };
  }

  frame(frame: ServerFrame): ServerFrame {
    return frame;
  }
}

export interface WatchOptions {
  readonly codec: WatchCodec;
  readonly truth: Truth;
  /** Writes that it takes before it is full. */
  readonly room: number;
  /** Called in each write, before it returns. */
  readonly onWrite: (watch: Watch) => void;
  readonly onFault: (fault: string) => void;
  /** Told the kind of what its reader was told. */
  readonly onTold: (told: string) => void;
  /** It asked to read from a position that nobody gave it: its first gap may have any cause. */
  readonly forged: boolean;
  /** Retention had passed the position from which it asked to read: it is told so, and not served from memory what is gone. */
  readonly isBehind: boolean;
}

/** An outlet that judges its reader by the truth: what is written must follow what was written, and every gap must have its cause. */
export class Watch implements Outlet {
  readonly codec: WatchCodec;
  readonly #options: WatchOptions;
  #reader: Reader | null = null;
  /** Where its reader has been told that it stands. */
  position: Position | null = null;
  #epochTold = "";
  #unsent = 0;
  #isFull = false;
  /** It stands where nobody put it, and may be told a gap of any cause. */
  isForged: boolean;
  #isBehind: boolean;
  isLive = false;
  refused: ThroughlineError | null = null;
  written = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.codec = options.codec;
    this.isForged = options.forged;
    this.#isBehind = options.isBehind;
  }

  set reader(reader: Reader) {
    this.#reader = reader;
  }

  get reader(): Reader {
    return this.#reader!;
  }

  get hasEnded(): boolean {
    return this.#reader?.state === "ended";
  }

  full(): boolean {
    return this.#isFull || this.#unsent >= this.#options.room;
  }

  /** Stops taking anything. */
  stall(): void {
    this.#isFull = true;
  }

  /** Everything unsent is sent. */
  drain(): void {
    if (this.#reader?.state === "waiting") this.#options.onTold("lag");
    this.#isFull = false;
    this.#unsent = 0;
    this.#reader?.drained();
  }

  write(encoded: unknown): void {
    if (this.full()) this.#fault("was written to though it was full");
    if (this.hasEnded) this.#fault("was written to after its reader had ended");
    if (isSignal(encoded)) this.#options.onTold("signal");
    else this.#take(encoded as Made);
    this.#unsent++;
    this.#options.onWrite(this);
  }

  say(frame: ServerFrame): void {
    if (this.hasEnded) this.#fault(`was told ${frame.type} after its reader had ended`);
    switch (frame.type) {
      case "subscribed":
        this.position = parsePosition(frame.position);
        this.#epochTold = this.position.epoch;
        break;
      case "epoch":
        if (!this.isForged && this.position!.offset > 0) this.#fault("was told an epoch, which only the origin lacks");
        this.position = { ...this.position!, epoch: frame.epoch };
        this.#epochTold = frame.epoch;
        break;
      case "live":
        if (this.isLive) this.#fault("was said to be live twice");
        this.isLive = true;
        break;
      case "gap":
        this.#skip(frame);
    }
  }

  refuse(_channel: string, error: ThroughlineError): void {
    this.refused = error;
  }

  #skip(frame: GapFrame): void {
    const { position } = this;
    if (position === null) {
      this.#fault("was told a gap before it began");
      return;
    }
    if (!same(position, parsePosition(frame.since ?? ""))) this.#fault(`was told a gap since ${frame.since}`);
    const fault = this.isForged ? null : this.#options.truth.faultOfGap(position, frame);
    if (fault !== null) this.#fault(`was told a gap that ${fault}: ${JSON.stringify(frame)}`);
    this.position = parsePosition(frame.resumeFrom);
    this.#epochTold = this.position.epoch;
    this.isForged = false;
    this.#isBehind = false;
    this.#options.onTold(`gap ${frame.reason}`);
  }

  #take({ batch, epochTold }: Made): void {
    this.written++;
    if (this.position === null) {
      this.#fault("was written to before it began");
      return;
    }
    if (this.#isBehind) this.#fault("was given what retention had taken before it came");
    if (epochTold !== this.#epochTold) this.#fault(`was told the epoch ${this.#epochTold}, but encoded for as if ${epochTold}`);
    for (const entry of batch.entries) {
      const fault = this.#options.truth.faultOfNext(this.position, batch.epoch, entry);
      if (fault !== null) this.#fault(`got ${formatPosition({ ...entry, epoch: batch.epoch })}, which ${fault}`);
      this.position = { epoch: batch.epoch, offset: entry.offset, tag: entry.tag };
    }
    if (batch.epoch !== epochTold) this.#options.onTold("epoch");
    this.#epochTold = batch.epoch;
    this.isForged = false;
  }

  #fault(what: string): void {
    this.#options.onFault(`A reader at ${this.position === null ? "no place" : formatPosition(this.position)} ${what}.`);
  }
}

function isSignal(encoded: unknown): encoded is SignalFrame {
  return (encoded as { type?: string }).type === "signal";
}
