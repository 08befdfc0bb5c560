import { EventSource } from "eventsource";
import { type Asked, Reader } from "../support/reader.ts";
import { until } from "../support/until.ts";

/**
 * A bare EventSource, as a page without our client has it: it takes gzip, as browsers do, and comes back by itself with Last-Event-ID.
 * Made of the package `eventsource`, with nothing of ours but the address.
 */
export class EventSourceReader extends Reader {
  readonly #source: EventSource;
  /** How often it was answered: once, and once more after each cut. */
  opened = 0;

  constructor({ url, channels: [{ name, from } = { name: "", from: "" }] }: Asked) {
    super(name);
    this.#source = new EventSource(`${url}/channels/${name}${from === "" ? "" : `?from=${encodeURIComponent(from)}`}`);
    this.#source.addEventListener("connected", ({ data }) => {
      this.opened++;
      if (this.opened === 1) this.inbox.begin(name, JSON.parse(data).position);
    });
    this.#source.addEventListener("gap", ({ data }) => this.inbox.gap(JSON.parse(data)));
    this.#source.onmessage = ({ data, lastEventId }) =>
      this.inbox.message({ channel: name, event: "message", data: JSON.parse(data), position: lastEventId });
  }

  async open(): Promise<this> {
    await until("the EventSource is answered", () => this.opened > 0);
    return this;
  }

  close(): void {
    this.#source.close();
  }
}
