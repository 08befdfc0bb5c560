import type { Cancel } from "../../src/protocol/clock.ts";
import type { StreamOwner } from "../../src/transports/exchange.ts";
import type { Chance } from "./sim-chance.ts";
import type { Owner, Time } from "./sim-time.ts";

/** What the client's end of a connection is told. */
export interface Receiver {
  bytes(bytes: Uint8Array): void;
  /** Ended properly, after all of its bytes. */
  end(): void;
  /** Broken. What was still under way never comes. */
  cut(): void;
}

/** Something other than bytes that comes down a line in its turn: the head of an answer, a whole answer. `whole` is false if the line was cut in the middle of it. */
type Mark = (whole: boolean) => void;

interface Flight {
  readonly atMs: number;
  readonly load: Uint8Array | Mark;
}

/** How long a machine goes on believing in a connection of which it hears nothing. */
const BELIEF_MS_MIN = 20_000;
const BELIEF_MS_MAX = 90_000;
/** How long the end of a stream waits for what a client does not take. */
const END_MS_MAX = 10_000;
/** A slow line takes what it can this often. */
const SIP_MS = 20;
/** Bytes that the two kernels take though nothing passes. */
const KERNEL_BYTES_MAX = 600;

export interface LineOptions {
  readonly time: Time;
  readonly network: Owner;
  readonly chance: Chance;
  readonly latencyMs: number;
  /** Infinity, or how slowly the client takes. */
  readonly bytesPerMs: number;
  /** Both ends are gone. */
  readonly onOver: (line: Line) => void;
}

/**
 * One connection between a client and a server node: acts go up it, and bytes down, each in order, after a while. It can be stalled and go
 * on, be cut at any byte, and be half open: then an end that is not told goes on believing in it.
 */
export class Line {
  readonly #options: LineOptions;
  receiver: Receiver | null = null;
  /** What the server's end is told: a stream's owner, or whoever waits for the client to go. */
  owner: StreamOwner | null = null;
  clientOpen = true;
  serverOpen = true;
  isStalled = false;
  bytesPerMs: number;
  /** A stream or a WebSocket is open on it. */
  isStream = false;
  /** When its client last got a byte of it. */
  heardAtMs: number;
  /** The next write that is messages and nothing else is lost on the way, as by a broken box, and what follows it is not. */
  swallows = false;
  sent = 0;
  /** False: nothing passes any more, either way, and nobody is told. */
  #passes = true;
  #waiting: Uint8Array[] = [];
  unsent = 0;
  #kernelRoom = 0;
  #flight: Flight[] = [];
  #upAtMs = 0;
  #downAtMs = 0;
  #heldUp: (() => void)[] = [];
  #arrival: Cancel | null = null;
  #sip: Cancel | null = null;
  #isBehind = false;
  #ended = false;
  #endSent = false;
  readonly #beliefs: Cancel[] = [];
  #over = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.bytesPerMs = options.bytesPerMs;
    this.heardAtMs = options.time.nowMs;
  }

  toString(): string {
    const { clientOpen, serverOpen, isStalled, unsent } = this;
    return JSON.stringify({ clientOpen, serverOpen, isStalled, unsent, passes: this.#passes, ended: this.#ended });
  }

  get passes(): boolean {
    return this.#passes;
  }

  /** From the client to the server, in order. */
  up(act: () => void): void {
    if (!this.clientOpen || !this.#passes) return;
    this.#upAtMs = Math.max(this.#options.time.nowMs + this.#latency(), this.#upAtMs);
    const arrive = (): void => {
      if (!this.#passes || !this.serverOpen) return;
      if (this.isStalled) this.#heldUp.push(arrive);
      else act();
    };
    this.#after(this.#upAtMs - this.#options.time.nowMs, arrive);
  }

  /** From the server to the client. False: it is behind. */
  write(bytes: Uint8Array, isMessages = false): boolean {
    if (!this.serverOpen || this.#ended || bytes.length === 0) return true;
    if (this.swallows && isMessages) {
      this.swallows = false;
      this.sent += bytes.length;
      return !this.#isBehind;
    }
    this.#waiting.push(bytes);
    this.unsent += bytes.length;
    this.#pump();
    // Until it is told that it has drained, however small the next write is (Node: writableNeedDrain)
    this.#isBehind ||= this.unsent > 0;
    return !this.#isBehind;
  }

  /** Something that is not bytes, in their turn. */
  mark(mark: Mark): void {
    if (this.serverOpen) this.#send(mark);
  }

  /** The server ends it, after what was written. */
  end(): void {
    if (!this.serverOpen || this.#ended) return;
    this.#ended = true;
    this.#pump();
    this.#after(END_MS_MAX, () => this.destroy());
  }

  /** The server ends it now. */
  destroy(): void {
    if (!this.serverOpen) return;
    this.#after(0, () => this.#tellServer());
    if (this.#passes) this.#breakOff();
  }

  /** The client goes. */
  leave(): void {
    if (!this.clientOpen) return;
    this.clientOpen = false;
    this.#flight = [];
    if (!this.#passes) {
      this.#look();
      return;
    }
    this.#upAtMs = Math.max(this.#options.time.nowMs + this.#latency(), this.#upAtMs);
    this.#after(this.#upAtMs - this.#options.time.nowMs, () => this.#tellServer());
  }

  /** Cut, at whatever byte is under way; both ends are told, each in its own time. */
  cut(): void {
    if (!this.#passes) return;
    this.#breakOff();
    this.#after(this.#latency(), () => this.#tellServer());
  }

  /** Nothing passes any more, and who is not named is not told before it has lost its belief. */
  cutSilently(told: "client" | "server" | "nobody"): void {
    if (!this.#passes) return;
    this.#kernelRoom = this.#options.chance.dice(KERNEL_BYTES_MAX);
    if (told === "client") this.#breakOff();
    this.#passes = false;
    this.#flight = [];
    this.#believe(told === "server" ? this.#latency() : this.#belief(), () => this.#tellServer());
    if (told !== "client") this.#believe(this.#belief(), () => this.#tellClient());
  }

  stall(): void {
    if (this.isStalled) return;
    this.isStalled = true;
    this.#kernelRoom = this.#options.chance.dice(KERNEL_BYTES_MAX);
  }

  flow(): void {
    if (!this.isStalled) return;
    this.isStalled = false;
    const held = this.#heldUp;
    this.#heldUp = [];
    for (const act of held) act();
    this.#pump();
    this.#arm();
  }

  /** All faults are over: what passes does so at full speed. */
  heal(): void {
    this.swallows = false;
    this.bytesPerMs = Number.POSITIVE_INFINITY;
    this.flow();
    this.#pump();
  }

  /** The server's machine is gone: its end of the line with it. With `silence` its kernel says nothing. */
  drop(silence: boolean): void {
    this.serverOpen = false;
    this.owner = null;
    this.#look();
    if (!this.#passes) return;
    if (silence) {
      this.#passes = false;
      this.#flight = [];
      this.#believe(this.#belief(), () => this.#tellClient());
    } else this.#breakOff();
  }

  #breakOff(): void {
    let left = this.#options.chance.dice(1 + this.#flightBytes());
    const flight = this.#flight;
    this.#flight = [];
    this.#passes = false;
    this.#waiting = [];
    // Taken by nobody, but not what a socket that is full still holds.
    this.sent += this.unsent;
    this.unsent = 0;
    this.#after(this.#latency(), () => {
      for (const { load } of flight) {
        if (!this.clientOpen) return;
        if (typeof load === "function") {
          load(this.#options.chance.is(0.5));
          break;
        }
        if (left > 0) this.#hand(load.subarray(0, left));
        left -= load.length;
        if (left < 0) break;
      }
      this.#tellClient();
    });
  }

  #flightBytes(): number {
    return this.#flight.reduce((bytes, { load }) => bytes + (typeof load === "function" ? 1 : load.length), 0);
  }

  #pump(): void {
    if (!this.#passes || this.isStalled) {
      while (this.#waiting[0] !== undefined && this.#waiting[0].length <= this.#kernelRoom) {
        const taken = this.#take();
        this.#kernelRoom -= taken.length;
        if (this.#passes) this.#send(taken);
      }
      return;
    }
    if (this.bytesPerMs === Number.POSITIVE_INFINITY) {
      while (this.#waiting.length > 0) this.#send(this.#take());
      this.#empty();
      return;
    }
    if (this.#waiting.length === 0) {
      this.#empty();
      return;
    }
    this.#sip ??= this.#after(SIP_MS, () => {
      this.#sip = null;
      let room = Math.max(1, Math.floor(this.bytesPerMs * SIP_MS));
      while (room > 0 && this.#waiting[0] !== undefined && !this.isStalled && this.#passes) {
        const first = this.#waiting[0];
        if (first.length <= room) {
          room -= first.length;
          this.#send(this.#take());
        } else {
          this.#send(first.subarray(0, room));
          this.#waiting[0] = first.subarray(room);
          this.unsent -= room;
          this.sent += room;
          room = 0;
        }
      }
      this.#pump();
    });
  }

  #take(): Uint8Array {
    const first = this.#waiting.shift()!;
    this.unsent -= first.length;
    this.sent += first.length;
    return first;
  }

  /** All that was written is under way. */
  #empty(): void {
    if (this.#ended && !this.#endSent) {
      this.#endSent = true;
      this.#send(() => {
        if (!this.clientOpen) return;
        this.clientOpen = false;
        this.receiver?.end();
        this.#after(this.#latency(), () => this.#tellServer());
      });
    }
    if (!this.#isBehind) return;
    this.#isBehind = false;
    if (!this.#ended) this.owner?.drained();
  }

  #send(load: Uint8Array | Mark): void {
    if (!this.clientOpen) return;
    const { chance, time } = this.#options;
    if (typeof load !== "function" && load.length > 1 && chance.is(0.1)) {
      const byte = 1 + chance.dice(load.length - 1);
      this.#fly(load.subarray(0, byte));
      this.#downAtMs = Math.max(this.#downAtMs, time.nowMs) + chance.between(0, 3);
      this.#fly(load.subarray(byte));
    } else this.#fly(load);
    this.#arm();
  }

  #fly(load: Uint8Array | Mark): void {
    this.#downAtMs = Math.max(this.#options.time.nowMs + this.#latency(), this.#downAtMs);
    this.#flight.push({ atMs: this.#downAtMs, load });
  }

  #arm(): void {
    const first = this.#flight[0];
    if (first === undefined || this.#arrival !== null || this.isStalled) return;
    this.#arrival = this.#after(first.atMs - this.#options.time.nowMs, () => {
      this.#arrival = null;
      this.#arrive();
    });
  }

  #arrive(): void {
    const { nowMs } = this.#options.time;
    while (this.#flight[0] !== undefined && this.#flight[0].atMs <= nowMs && !this.isStalled) {
      const { load } = this.#flight.shift()!;
      if (!this.clientOpen) return;
      if (typeof load === "function") load(true);
      else this.#hand(load);
    }
    this.#arm();
  }

  #hand(bytes: Uint8Array): void {
    this.heardAtMs = this.#options.time.nowMs;
    this.receiver?.bytes(bytes);
  }

  #tellClient(): void {
    if (this.clientOpen) {
      this.clientOpen = false;
      this.receiver?.cut();
    }
    this.#look();
  }

  #tellServer(): void {
    const { owner } = this;
    this.serverOpen = false;
    this.owner = null;
    owner?.closed();
    this.#look();
  }

  #look(): void {
    if (this.#over || this.clientOpen || this.serverOpen) return;
    this.#over = true;
    for (const cancel of this.#beliefs) cancel();
    this.#options.onOver(this);
  }

  #believe(ms: number, act: () => void): void {
    this.#beliefs.push(this.#after(ms, act));
  }

  #belief(): number {
    return this.#options.chance.between(BELIEF_MS_MIN, BELIEF_MS_MAX);
  }

  #latency(): number {
    return this.#options.latencyMs * this.#options.chance.between(0.5, 1.5);
  }

  #after(ms: number, act: () => void): Cancel {
    return this.#options.time.after(ms, act, this.#options.network);
  }
}
