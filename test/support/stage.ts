import { Hub, type HubOptions, type Receipt } from "../../src/core/hub.ts";
import type { Identity } from "../../src/core/identity.ts";
import { ANONYMOUS } from "../../src/core/identity.ts";
import type { Log } from "../../src/core/log.ts";
import { parseFrom } from "../../src/protocol/from.ts";
import { type Limits, withLimits } from "../../src/protocol/limits.ts";
import { ScriptedLog } from "../model/scripted-log.ts";
import { type HandClock, handClock, seededRandom } from "./clock.ts";
import { Sink } from "./sink.ts";

export interface StageOptions {
  readonly limits?: Partial<Limits>;
  /** In place of the scripted log. */
  readonly engine?: Log;
  readonly authorize?: HubOptions["authorize"];
  readonly authenticate?: HubOptions["authenticate"];
}

/** A hub over a log that does as it is told, on a clock that is held by hand: for stories about the core. */
export class Stage {
  readonly clock: HandClock = handClock();
  readonly log: ScriptedLog = new ScriptedLog(this.clock, seededRandom(1));
  readonly warned: string[] = [];
  readonly hub: Hub;

  constructor({ limits = {}, engine, authorize, authenticate }: StageOptions = {}) {
    this.hub = new Hub({
      engine: engine ?? this.log,
      clock: this.clock,
      random: seededRandom(2),
      limits: withLimits(limits),
      warn: (sentence) => this.warned.push(sentence),
      authorize,
      authenticate,
    });
  }

  /** A reader that has begun, and whatever it was told at once. */
  async read(from = "now", { channel = "c", sink = new Sink() }: { channel?: string; sink?: Sink } = {}): Promise<Sink> {
    sink.reader = this.hub.read(channel, sink);
    const located = this.hub.locate(sink.reader, parseFrom(from)).then(() => sink.reader!.begin());
    located.catch(() => undefined);
    await this.calm();
    await located;
    await this.calm();
    return sink;
  }

  /** Asked for, and not waited for. */
  ask(data: string, { channel = "c", key, identity = ANONYMOUS, event, size = data.length + 7 }: PublishOptions = {}): Promise<Receipt> {
    return this.hub.publish(identity, { channel, event, kind: "text", data, size, key });
  }

  async publish(...messages: readonly string[]): Promise<Receipt[]> {
    const receipts = Promise.all(messages.map((data) => this.ask(data)));
    receipts.catch(() => undefined);
    await this.calm();
    return receipts;
  }

  /** Lets everything happen that needs no time to speak of: a few milliseconds pass. */
  async calm(): Promise<void> {
    for (let turns = 0; turns < 6; turns++) await this.clock.advanceAsync(1);
  }

  async pass(seconds: number): Promise<void> {
    await this.clock.advanceAsync(seconds * 1_000);
    await this.calm();
  }
}

export interface PublishOptions {
  readonly channel?: string;
  readonly key?: string;
  readonly identity?: Identity;
  readonly event?: string;
  readonly size?: number;
}

/** The code of the error that a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return (error as { code?: string }).code ?? `not ours: ${String(error)}`;
  }
}
