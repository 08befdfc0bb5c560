import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import type { Codec, Outlet } from "../core/outlet.ts";
import type { Batch } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { ServerFrame } from "../protocol/frame.ts";
import { frameJson, messageJson } from "../wire/frame-json.ts";
import { byeFrame, errorFrame } from "./answer.ts";
import { Pipe } from "./pipe.ts";

/** Frames as JSON texts, gathered into one answer. */
const FRAMES_JSON: Codec = {
  shared: true,
  batch: ({ channel, epoch, entries }: Batch, epochTold) => {
    const texts = entries.map((entry) => messageJson(channel, entry));
    return epoch === epochTold ? texts : [frameJson({ type: "epoch", channel, epoch }), ...texts];
  },
  frame: (frame) => [frameJson(frame)],
};

/** Many channels in one answer (PROTOCOL.md §4.5): a pipe that closes after the first thing it had to say. */
export class PollPipe extends Pipe {
  readonly transport = "long-poll";
  readonly #texts: string[] = [];
  readonly #answer: (frames: string) => void;
  #bytes = 0;
  #answering = false;

  constructor(hub: Hub, identity: Identity, answer: (frames: string) => void) {
    super(hub, identity);
    this.#answer = answer;
  }

  get codec(): Codec {
    return FRAMES_JSON;
  }

  open(waitSeconds: number): void {
    this.hub.enter(this);
    this.hub.clock.after(waitSeconds * 1_000, () => this.#finish());
  }

  override full(): boolean {
    return this.ended || this.#bytes >= this.hub.limits.pageBytesMax;
  }

  override write(encoded: unknown): void {
    for (const text of encoded as string[]) {
      this.#bytes += text.length;
      this.#texts.push(text);
    }
    if (this.#answering) return;
    this.#answering = true;
    // What else this turn brings comes along.
    this.hub.clock.soon(() => this.#finish());
  }

  say(frame: ServerFrame): void {
    // The place and the greeting are no reason to answer: they come with whatever is.
    if (frame.type === "gap" || frame.type === "error" || frame.type === "bye") this.write([frameJson(frame)]);
    else this.#texts.push(frameJson(frame));
  }

  override refuse(channel: string, error: ThroughlineError): void {
    this.drop(channel);
    this.say(errorFrame(error, { channel }));
  }

  override beat(): void {}

  override end(error: ThroughlineError): void {
    if (this.ended) return;
    this.say(byeFrame(error));
    this.#finish();
  }

  protected pulse(): void {}
  protected goodbye(): void {}

  #finish(): void {
    if (this.ended) return;
    this.closed();
    this.#answer(`{"frames":[${this.#texts.join(",")}]}`);
  }
}

/** A reader that does not read: it waits until there is something, and says so once. */
export class Bell implements Outlet {
  readonly codec: Codec = { shared: false, batch: () => null, frame: () => null };
  #rung = false;
  readonly #ring: () => void;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  full(): boolean {
    return this.#rung;
  }

  write(): void {
    if (this.#rung) return;
    this.#rung = true;
    this.#ring();
  }

  say(frame: ServerFrame): void {
    if (frame.type === "gap") this.write();
  }

  refuse(): void {
    this.write();
  }
}
