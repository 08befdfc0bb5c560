import { Frames } from "./frames.ts";
import { type Answer, demand, type Refused } from "./http.ts";
import { type Asked, Reader } from "./reader.ts";

const WAIT_SECONDS = 25;

/** One request after the other. The first does not wait, to learn where reading begins. */
abstract class LongPoll extends Reader {
  protected readonly asked: Asked;
  #end: () => void = () => undefined;
  #closed = false;

  constructor(asked: Asked) {
    super(asked.channels[0]?.name ?? "");
    this.asked = asked;
  }

  async open(): Promise<this> {
    this.take(await this.poll(0));
    void this.#go();
    return this;
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  /** Asks for what comes after the last answer. */
  protected abstract poll(waitSeconds: number): Promise<Answer>;
  protected abstract take(answer: Answer): void;

  protected readonly onOpen = (end: () => void): void => {
    this.#end = end;
  };

  async #go(): Promise<void> {
    while (!this.#closed && this.inbox.ending === null) {
      try {
        this.take(await this.poll(WAIT_SECONDS));
      } catch (error) {
        const { code, retryAfterMs } = error as Refused;
        this.inbox.end(/^[a-z_]+$/.test(code) ? { code, retryAfterMs } : { code: "cut" });
      }
    }
  }
}

/** GET /channels/{name}?wait= */
export class PageReader extends LongPoll {
  #from = this.asked.channels[0]?.from ?? "";

  protected poll(waitSeconds: number): Promise<Answer> {
    const { url, token, channels } = this.asked;
    const from = this.#from === "" ? "" : `&from=${encodeURIComponent(this.#from)}`;
    return demand(`${url}/channels/${channels[0]?.name}?wait=${waitSeconds}${from}`, { token, onOpen: this.onOpen });
  }

  protected take({ json: { channel, messages, gap, position } }: Answer): void {
    if (gap !== undefined) this.inbox.gap(gap);
    if (messages.length === 0 && gap === undefined) this.inbox.begin(channel, position);
    for (const { event, data, encoding, position: its } of messages) {
      const value = encoding === "base64" ? new Uint8Array(Buffer.from(data, "base64")) : data;
      this.inbox.message({ channel, event, data: value, position: its });
    }
    this.#from = `after:${position}`;
  }
}

/** POST /events?wait= */
export class FramesPollReader extends LongPoll {
  frames = new Frames(this.inbox, [], false);

  protected poll(waitSeconds: number): Promise<Answer> {
    const { url, token } = this.asked;
    const channels = this.asked.channels.map(({ name, from }) => {
      const position = this.inbox.positions.get(name);
      const start = position === undefined ? from : `after:${position}`;
      return { name, ...(start === "" ? {} : { from: start }) };
    });
    const names = channels.map(({ name }) => name);
    this.frames = new Frames(this.inbox, names, false);
    return demand(`${url}/events?wait=${waitSeconds}`, { method: "POST", token, body: { channels }, onOpen: this.onOpen });
  }

  protected take({ json }: Answer): void {
    for (const frame of json.frames) this.frames.take(frame);
  }

  override async open(): Promise<this> {
    await super.open();
    if (this.inbox.positions.size === 0) await this.frames.ready();
    return this;
  }
}
