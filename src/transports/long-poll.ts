import type { Connection } from "../core/connection.ts";
import type { Identity } from "../core/identity.ts";
import type { Codec, Outlet } from "../core/outlet.ts";
import type { Reader } from "../core/reader.ts";
import type { Cancel } from "../protocol/clock.ts";
import type { Batch } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { ServerFrame } from "../protocol/frame.ts";
import { frameJson, messageJson } from "../wire/frame-json.ts";
import { byeFrame, errorFrame } from "./answer.ts";
import type { Caller } from "./call.ts";
import { Pipe } from "./pipe.ts";

/**
 * An answer waits so long for the first page of each channel that is behind, or for its word that there is none. The log is read slower than a busy channel is told of: what is
 * behind would come with hardly any answer otherwise.
 */
const COMPANY_MS_MAX = 500;

/** Frames as JSON texts. */
interface Texts {
  readonly channel: string;
  readonly texts: readonly string[];
}

/** Frames as JSON texts, gathered into one answer. */
const FRAMES_JSON: Codec = {
  shared: true,
  batch: ({ channel, epoch, entries }: Batch, epochTold): Texts => {
    const texts = entries.map((entry) => messageJson(channel, entry));
    return { channel, texts: epoch === epochTold ? texts : [frameJson({ type: "epoch", channel, epoch }), ...texts] };
  },
  frame: (frame): Texts => ({ channel: "", texts: [frameJson(frame)] }),
};

/** Many channels in one answer (PROTOCOL.md §4.5): a pipe that closes after the first thing it had to say, and what comes with it. */
export class PollPipe extends Pipe {
  readonly transport = "long-poll";
  readonly #texts: string[] = [];
  /** Channels of which a page has come, or the word that there is nothing more. */
  readonly #heard = new Set<string>();
  readonly #answer: (frames: string) => void;
  #bytes = 0;
  #isListening = false;
  /** There is something to answer with. */
  #isDue = false;
  #isFinishing = false;
  #cancel: Cancel | null = null;

  constructor(caller: Caller, answer: (frames: string) => void) {
    super(caller);
    this.#answer = answer;
  }

  get codec(): Codec {
    return FRAMES_JSON;
  }

  open(): void {
    this.hub.enter(this);
  }

  /** Every channel has been begun, or refused: it answers as soon as there is something to say, and after so many seconds. */
  listen(waitSeconds: number): void {
    // It may not have been let in
    if (this.ended) return;
    this.#isListening = true;
    if (this.#isDue) this.#waitForCompany();
    else this.#cancel = this.hub.clock.after(waitSeconds * 1_000, () => this.#finish());
  }

  override full(): boolean {
    return this.ended || this.#bytes >= this.hub.limits.pageBytesMax;
  }

  override write(encoded: unknown): void {
    const { channel, texts } = encoded as Texts;
    for (const text of texts) {
      this.#bytes += text.length;
      this.#texts.push(text);
    }
    this.#heard.add(channel);
    if (!this.#isListening) this.#isDue = true;
    else if (this.#isDue) this.#finishIfAllAreHeard();
    else {
      this.#isDue = true;
      this.#waitForCompany();
    }
  }

  say(frame: ServerFrame): void {
    const text = frameJson(frame);
    // The place and the greeting are no reason to answer: they come with whatever is.
    if (frame.type === "gap") this.write({ channel: frame.channel, texts: [text] });
    else if (frame.type === "error" || frame.type === "bye") this.write({ channel: "", texts: [text] });
    else {
      this.#texts.push(text);
      if (frame.type !== "live") return;
      this.#heard.add(frame.channel);
      if (this.#isDue && this.#isListening) this.#finishIfAllAreHeard();
    }
  }

  override refuse(channel: string, error: ThroughlineError): void {
    this.drop(channel);
    this.say(errorFrame(error, { channel }));
  }

  override closed(): void {
    this.#cancel?.();
    super.closed();
  }

  override beat(): void {}

  override end(error: ThroughlineError): void {
    if (this.ended) return;
    this.say(byeFrame(error));
    this.#finish();
  }

  protected pulse(): void {}
  protected goodbye(): void {}

  #waitForCompany(): void {
    this.#cancel?.();
    this.#cancel = this.hub.clock.after(COMPANY_MS_MAX, () => this.#finish());
    this.#finishIfAllAreHeard();
  }

  /** What else this turn brings comes along. */
  #finishIfAllAreHeard(): void {
    if (this.#isFinishing || !(this.full() || [...this.readers()].every(({ channel }) => this.#heard.has(channel.name)))) return;
    this.#isFinishing = true;
    this.hub.clock.soon(() => this.#finish());
  }

  #finish(): void {
    if (this.ended) return;
    this.closed();
    this.#answer(`{"frames":[${this.#texts.join(",")}]}`);
  }
}

/** The long-poll on one channel (§4.2): a pipe whose reader does not read. It waits until there is something, and says so once. */
export class Bell implements Outlet, Connection {
  readonly transport = "long-poll";
  readonly codec: Codec = { shared: false, batch: () => null, frame: () => null };
  readonly id: string;
  readonly identity: Identity;
  readonly asked: number;
  slot = -1;
  reader: Reader | null = null;
  #rung = false;
  #resolve!: () => void;
  #reject!: (error: ThroughlineError) => void;
  /** There is something, or nobody waits any more. Rejects with what ended the pipe. */
  readonly heard: Promise<void> = new Promise((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  constructor(id: string, identity: Identity, asked: number) {
    this.id = id;
    this.identity = identity;
    this.asked = asked;
    // Whoever ends it may come before whoever listens
    this.heard.catch(() => undefined);
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#resolve();
  };

  full(): boolean {
    return this.#rung;
  }

  write(): void {
    this.ring();
  }

  say(frame: ServerFrame): void {
    if (frame.type === "gap") this.ring();
  }

  refuse(_channel: string, error: ThroughlineError): void {
    this.end(error);
  }

  *readers(): Iterable<Reader> {
    if (this.reader !== null) yield this.reader;
  }

  beat(): void {}

  end(error: ThroughlineError): void {
    this.#rung = true;
    this.#reject(error);
  }
}
