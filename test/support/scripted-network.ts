import * as ws from "ws";
import type { ConnectOptions } from "../../src/client.ts";
import type { Recording } from "./recording.ts";

type Ask = Parameters<Recording["resume"]>[0];

/** The reader of RFC 6455 that `ws` is in Node, which its types leave out. */
const { Receiver } = ws as unknown as {
  Receiver: new () => {
    on(name: "message", take: (data: Buffer, isBinary: boolean) => void): void;
    write(bytes: Uint8Array): void;
  };
};

/**
 * A network for one client, without a socket and without time: its first pipe brings what a server has for the position that the client asks
 * for, and is cut where the recording's byte `cutBytes` would come; the next brings what there is for the position that it asks for then, up to
 * `untilByte`. `done` resolves when the client has taken all of it.
 */
export function cutNetwork(
  recording: Recording,
  cutBytes: number,
  untilByte = recording.bytes.length,
): { readonly options: ConnectOptions; readonly done: Promise<void> } {
  let pipes = 0;
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });

  function piece(ask: Ask): Buffer {
    if (++pipes === 1) return ask.from === recording.from ? recording.bytes.subarray(0, cutBytes) : recording.resume(ask, cutBytes);
    if (ask.from !== "now") return recording.resume(ask, untilByte);
    // Who comes back without a position is given what is published from now on
    const next = recording.marks.findIndex(({ startByte }) => startByte >= cutBytes);
    return recording.resume({ ...ask, from: `after:${recording.marks[next - 1]?.position ?? recording.from.slice(6)}` }, untilByte);
  }

  async function fetch(_url: unknown, init: { body: string }): Promise<unknown> {
    const bytes = piece(JSON.parse(init.body).channels[0]);
    const isCut = pipes === 1;
    let reads = 0;
    const read = async () => {
      if (reads++ === 0) return { done: false, value: bytes };
      if (!isCut) {
        finish();
        return new Promise(() => undefined);
      }
      // As fetch tells a FIN, and a reset
      if (cutBytes % 2 === 0) return { done: true };
      throw new TypeError("terminated");
    };
    return { ok: true, body: { getReader: () => ({ read }) } };
  }

  class Socket {
    binaryType = "";
    readonly readyState = 1;
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: (() => void) | null = null;
    onerror = null;

    constructor() {
      queueMicrotask(() => this.onopen?.());
    }

    send(text: string): void {
      const { type, channel, id, from } = JSON.parse(text);
      if (type === "subscribe") queueMicrotask(() => this.#bring({ name: channel, id, from }));
    }

    close(): void {}

    #bring(ask: Ask): void {
      const receiver = new Receiver();
      receiver.on("message", (data) => this.onmessage?.({ data: data.toString("utf8") }));
      const bytes = piece(ask);
      const isCut = pipes === 1;
      if (bytes.length > 0) receiver.write(bytes);
      if (isCut) this.onclose?.();
      else finish();
    }
  }

  const clock: ConnectOptions["clock"] = {
    elapsed: () => 0,
    after(delayMs, act) {
      // Only what waits to come back is for now: nothing here takes time
      let wanted = delayMs === 0;
      if (wanted) queueMicrotask(() => wanted && act());
      return () => {
        wanted = false;
      };
    },
  };
  const options = { fetch: fetch as never, WebSocket: Socket as never, clock, random: () => 0 };
  return { options, done };
}
