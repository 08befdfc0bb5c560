import type { IncomingMessage } from "node:http";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { Frames } from "./frames.ts";
import { open, refusalOf, textOf } from "./http.ts";
import { type Asked, Reader } from "./reader.ts";

/** An event stream, read with nothing but HTTP and a parser. */
abstract class EventStream extends Reader {
  protected readonly asked: Asked;
  response: IncomingMessage | null = null;
  /** The last `retry:`. */
  retryMs = 0;
  #saidBye = false;

  constructor(asked: Asked) {
    super(asked.channels[0]?.name ?? "");
    this.asked = asked;
  }

  async open(): Promise<this> {
    const { path, method = "GET", body } = this.request();
    const { token, lastEventId, url } = this.asked;
    const headers = { accept: "text/event-stream", ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) };
    const response = await open(url + path, { method, token, headers, body });
    if (response.statusCode !== 200) {
      const text = await textOf(response);
      throw refusalOf({ status: response.statusCode ?? 0, headers: response.headers, json: JSON.parse(text || "{}") });
    }
    this.response = response;
    const parser = createParser({
      onEvent: (event) => this.#take(event),
      onComment: () => this.heartbeats++,
      onRetry: (retryMs) => {
        this.retryMs = retryMs;
      },
    });
    response.setEncoding("utf8");
    response.on("data", (text: string) => parser.feed(text));
    response.on("error", () => undefined);
    response.on("close", () => this.over());
    await this.ready();
    return this;
  }

  override pause(): void {
    this.response?.pause();
  }

  override resume(): void {
    this.response?.resume();
  }

  close(): void {
    this.response?.destroy();
  }

  protected abstract request(): { path: string; method?: string; body?: unknown };
  protected abstract ready(): Promise<void>;
  protected abstract take(event: EventSourceMessage): void;

  protected over(): void {
    this.inbox.end({ code: "cut" });
  }

  #take(event: EventSourceMessage): void {
    if (event.id) this.lastEventId = event.id;
    if (this.#saidBye) this.inbox.fail(new Error(`${JSON.stringify(event)} came after bye.`));
    this.#saidBye = event.event === "bye";
    this.take(event);
  }
}

/** Plain events, as EventSource and curl read them: §4.1, and for many channels §4.4. */
abstract class PlainEvents extends EventStream {
  #begun!: () => void;
  #failed!: (error: Error) => void;
  readonly #ready = new Promise<void>((resolve, reject) => {
    this.#begun = resolve;
    this.#failed = reject;
  });

  protected ready(): Promise<void> {
    return this.#ready;
  }

  protected override over(): void {
    super.over();
    this.#failed(Object.assign(new Error("The stream ended before it began."), this.inbox.ending));
    this.#ready.catch(() => undefined);
  }

  protected take(event: EventSourceMessage): void {
    const { event: name = "message", data, id } = event;
    if (name === "connected") {
      this.connected(JSON.parse(data), id ?? "");
      this.#begun();
    } else if (name === "gap") this.gapCame(JSON.parse(data), id ?? "");
    else if (name === "bye") this.inbox.end({ code: JSON.parse(data).code, retryAfterMs: JSON.parse(data).retryAfterMs });
    else if (name.startsWith("$")) this.#signal(name.slice(1), JSON.parse(data), id);
    else this.message(name, data, id ?? "");
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON
  protected abstract connected(told: any, id: string): void;
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  protected abstract gapCame(told: any, id: string): void;
  protected abstract message(event: string, data: string, id: string): void;

  // biome-ignore lint/suspicious/noExplicitAny: JSON
  #signal(name: string, told: any, id: string | undefined): void {
    if (id !== undefined) this.inbox.fail(new Error(`The signal ${name} has the id ${id}.`));
    if (told.event !== name) this.inbox.fail(new Error(`The signal ${told.event} came as $${name}.`));
    this.inbox.signal(told);
  }
}

/** GET /channels/{name} */
export class PlainReader extends PlainEvents {
  protected request() {
    const [{ name, from } = { name: "", from: "" }] = this.asked.channels;
    return { path: `/channels/${name}${from === "" ? "" : `?from=${encodeURIComponent(from)}`}` };
  }

  protected connected({ channel, position }: { channel: string; position: string }, id: string): void {
    if (id !== position) this.inbox.fail(new Error(`connected has the id ${id}, and says ${position}.`));
    this.inbox.begin(channel, position);
  }

  protected gapCame(gap: { resumeFrom: string }, id: string): void {
    if (id !== gap.resumeFrom) this.inbox.fail(new Error(`The gap to ${gap.resumeFrom} has the id ${id}.`));
    this.inbox.gap(gap as never);
  }

  protected message(event: string, text: string, id: string): void {
    const [{ name } = { name: "" }] = this.asked.channels;
    this.inbox.message({ channel: name, event, data: jsonOrText(text), position: id });
  }
}

/** GET /events?channel=…&channel=… */
export class VectorReader extends PlainEvents {
  protected request() {
    const { channels } = this.asked;
    const froms = new Set(channels.map(({ from }) => from));
    if (this.asked.lastEventId !== undefined) froms.clear();
    if (froms.size > 1) throw new Error("One stream has one from; resume each channel by Last-Event-ID.");
    const query = new URLSearchParams(channels.map(({ name }): [string, string] => ["channel", name]));
    const [from = ""] = froms;
    if (from !== "") query.set("from", from);
    return { path: `/events?${query}` };
  }

  protected connected({ channels }: { channels: { channel: string; position: string }[] }, id: string): void {
    for (const { channel, position } of channels) this.inbox.begin(channel, position);
    this.#check(id);
  }

  protected gapCame(gap: never, id: string): void {
    this.inbox.gap(gap);
    this.#check(id);
  }

  protected message(sseEvent: string, text: string, id: string): void {
    if (sseEvent !== "message") this.inbox.fail(new Error(`A message came as the event ${sseEvent}.`));
    const { channel, event, data, encoding, position } = JSON.parse(text);
    this.inbox.message({ channel, event, data: encoding === "base64" ? new Uint8Array(Buffer.from(data, "base64")) : data, position });
    this.#check(id);
  }

  /** The id says where all of its channels stand. */
  #check(id: string): void {
    const positions = this.asked.channels.map(({ name }) => this.inbox.positions.get(name)).join(",");
    if (id !== positions) this.inbox.fail(new Error(`The id is ${id}, and the channels stand at ${positions}.`));
  }
}

/** POST /events */
export class FramesReader extends EventStream {
  readonly frames = new Frames(
    this.inbox,
    this.asked.channels.map(({ name }) => name),
  );

  protected request() {
    const channels = this.asked.channels.map(({ name, from }) => ({ name, ...(from === "" ? {} : { from }) }));
    return { path: "/events", method: "POST", body: { channels } };
  }

  protected ready(): Promise<void> {
    return this.frames.ready();
  }

  protected override over(): void {
    this.frames.end({ code: "cut" });
  }

  protected take({ data, event, id }: EventSourceMessage): void {
    if (event !== undefined || id !== undefined) this.inbox.fail(new Error(`A frame came with event ${event} and id ${id}.`));
    this.frames.take(JSON.parse(data));
  }
}

/** A plain stream does not say whether its data is JSON or text: what can be read as JSON is. */
function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
