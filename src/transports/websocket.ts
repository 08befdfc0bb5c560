import type { Publication, Receipt } from "../core/hub.ts";
import type { Action } from "../core/identity.ts";
import type { Codec } from "../core/outlet.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ERRORS, ThroughlineError } from "../protocol/error.ts";
import type { ClientFrame, PublishFrame, RequestFrame, ServerFrame, SubscribeFrame } from "../protocol/frame.ts";
import { parseFrom, type Start } from "../protocol/from.ts";
import type { Limits } from "../protocol/limits.ts";
import { PRESENCE_REQUEST } from "../protocol/presence.ts";
import { readClientFrame } from "../wire/client-frame.ts";
import { frameWebSocket, HEARTBEAT_WEBSOCKET } from "../wire/control.ts";
import { readData } from "../wire/data.ts";
import { checkJsonDepth } from "../wire/json.ts";
import { textFrame, unpackBinary } from "../wire/websocket.ts";
import { byeFrame, errorFrame, tellable } from "./answer.ts";
import { FRAMES_WEBSOCKET } from "./codecs.ts";
import type { Stream } from "./exchange.ts";
import { Pipe } from "./pipe.ts";
import { checkSignal } from "./signals.ts";
import { SocketPresence } from "./socket-presence.ts";

/** A WebSocket that was accepted, as an adapter gives it: whole frames are written to it; closing is the adapter's, since it keeps the state of RFC 6455 §7. */
export interface Socket extends Stream {
  close(code: number, reason: string): void;
  /** Stops and goes on reading from the network. */
  pause(): void;
  resume(): void;
}

/** A WebSocket whose pings stay unanswered this many times is dead. */
const UNANSWERED_MAX = 2;

/** One WebSocket (PROTOCOL.md §5): the same readers as anywhere, and a client that talks back on the same connection. */
export class SocketPipe extends Pipe {
  readonly transport = "websocket";
  #socket: Socket | null = null;
  /** Frames that came while one waits for the application or the log: order is kept by taking one at a time. */
  #waiting: (string | Uint8Array)[] | null = null;
  #waitingBytes = 0;
  #paused = false;
  #badFrames = 0;
  #requests = 0;
  #unanswered = 0;
  #presence: SocketPresence | null = null;

  get codec(): Codec {
    return FRAMES_WEBSOCKET;
  }

  /** The socket is open: greets, and subscribes to what its URL named. */
  open(socket: Socket, channels: readonly { readonly channel: string; readonly from: string }[]): void {
    this.#socket = socket;
    this.opened(socket);
    this.say(this.connectedFrame());
    for (const { channel, from } of channels) this.#take({ type: "subscribe", channel, from });
  }

  /** A message came: text, or the bytes of a binary one. */
  message(data: string | Uint8Array): void {
    if (this.ended) return;
    this.#unanswered = 0;
    if (this.#waiting === null) this.#receive(data);
    else {
      this.#waiting.push(data);
      this.#waitingBytes += data.length;
    }
    this.#regulate();
  }

  /** The other end answered a ping. */
  pong(): void {
    this.#unanswered = 0;
    this.#presence?.pong();
  }

  override closed(): void {
    super.closed();
    this.#presence?.close();
  }

  override drained(): void {
    this.#regulate();
    super.drained();
  }

  protected override relieved(): void {
    this.#presence?.relieved();
  }

  say(frame: ServerFrame): void {
    this.queue(frameWebSocket(frame));
  }

  override refuse(channel: string, error: ThroughlineError): void {
    this.drop(channel);
    this.say(errorFrame(error, { channel }));
  }

  /**
   * However much else is written: only the answer to the ping shows that the other end still reads. And only the frame beside it shows a page
   * that we live, since pages do not see pings: left out after a message, the silence behind it would last for two heartbeats, and look like death.
   */
  protected pulse(): void {
    if (this.#unanswered++ < UNANSWERED_MAX) this.write(HEARTBEAT_WEBSOCKET);
    else this.#socket?.destroy();
  }

  protected goodbye(error: ThroughlineError): void {
    this.say(byeFrame(error));
  }

  protected override finish(error: ThroughlineError): void {
    this.#socket?.close(ERRORS[error.code].close, error.code);
  }

  /** Does what a message asks. While something in it waits, the next ones wait too. */
  #receive(data: string | Uint8Array): void {
    let frame: ClientFrame;
    try {
      frame = typeof data === "string" ? readClientFrame(data, this.hub.limits) : readBinary(data, this.hub.limits);
    } catch (error) {
      this.#refuseFrame(error, data);
      return;
    }
    this.#take(frame);
  }

  #take(frame: ClientFrame): void {
    let done: void | Promise<void>;
    try {
      done = this.#do(frame);
    } catch (error) {
      this.#fail(frame, error);
      return;
    }
    if (done === undefined) return;
    this.#waiting ??= [];
    done.catch((error) => this.#fail(frame, error)).then(() => this.#next());
  }

  #next(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null || this.ended) return;
    for (const [index, data] of waiting.entries()) {
      this.#waitingBytes -= data.length;
      this.#receive(data);
      // It waits again, with what is left behind whatever came for it.
      if (this.#waiting !== null) {
        this.#waiting = (this.#waiting as (string | Uint8Array)[]).concat(waiting.slice(index + 1));
        break;
      }
    }
    this.#regulate();
  }

  #do(frame: ClientFrame): void | Promise<void> {
    switch (frame.type) {
      case "publish":
        return this.#publish(frame);
      case "subscribe":
        return this.#subscribe(frame);
      case "unsubscribe":
        this.drop(frame.channel);
        this.say({ type: "unsubscribed", channel: frame.channel });
        return;
      case "signal": {
        const channel = checkChannelName(frame.channel, this.hub.limits);
        checkSignal(frame.data, this.hub.limits);
        return this.#permit("signal", channel, () => {
          this.hub.signal(channel, frame.event, frame.data, this.identity.id || `~${this.id}`);
        });
      }
      case "request":
        if (frame.name === PRESENCE_REQUEST) return this.#attend(frame);
        return this.#permit("request", checkChannelName(frame.channel, this.hub.limits), () => this.#ask(frame));
      case "ping":
        this.say({ type: "heartbeat" });
    }
  }

  /** Acts if that is allowed, at once where the gate says so at once; an answer from before a revocation or a review counts no more. */
  #permit(action: Action, channel: string, act: () => void): void | Promise<void> {
    const { gate } = this.hub;
    const asked = gate.moment;
    const allowed = gate.authorize(this.identity, action, channel);
    if (allowed === undefined) return act();
    return allowed.then(() => {
      if (gate.isOvertaken(asked)) return this.#permit(action, channel, act);
      gate.checkIdentity(this.identity, asked);
      act();
    });
  }

  #publish(frame: PublishFrame): void | Promise<void> {
    const channel = checkChannelName(frame.channel, this.hub.limits);
    const publication: Publication = { channel, event: frame.event, key: frame.key, ...readData(frame, this.hub.limits) };
    // The log is not waited for: what follows on this connection stands behind it in the channel's queue.
    return this.#permit("publish", channel, () => {
      this.hub.publish(this.identity, publication).then(
        (receipt) => this.#acknowledge(frame.id, receipt),
        (error) => this.#fail(frame, error),
      );
    });
  }

  async #subscribe({ channel, id, from }: SubscribeFrame): Promise<void> {
    checkChannelName(channel, this.hub.limits);
    const start: Start = parseFrom(from ?? "now");
    const asked = this.hub.gate.moment;
    await this.hub.gate.authorize(this.identity, "subscribe", channel);
    if (this.ended) return;
    // Not before it is kept in this very turn: those that the URL names are on their way together
    if (this.reader(channel) === undefined && this.readerCount >= this.hub.limits.connectionChannelsMax) {
      const sentence = `One connection carries at most ${this.hub.limits.connectionChannelsMax} channels. Unsubscribe from one first.`;
      throw new ThroughlineError("too_many_channels", sentence);
    }
    const reader = this.hub.read(channel, this);
    this.keep(reader);
    await this.hub.locate(reader, start);
    await this.hub.connections.recheck(this, [reader], asked);
    reader.begin(id);
  }

  #ask(frame: RequestFrame): void {
    if (this.#requests >= this.hub.limits.requestsPendingMax) {
      throw new ThroughlineError("too_many_requests", `${this.#requests} requests are waiting for their answers. Wait for one of them.`);
    }
    this.#requests++;
    this.hub.requests
      .ask(frame.channel, frame.name, frame.data, this.identity)
      .then(
        (json) => this.queue(response(frame.id, json)),
        (error) => this.#fail(frame, error),
      )
      .finally(() => {
        this.#requests--;
      });
  }

  /** Not waited for: the answer may wait for news, and for room. Written at once, so that the next one sees what room is left. */
  #attend(frame: RequestFrame): void {
    this.#presence ??= new SocketPresence(this);
    const say = (json: string): void => this.write(response(frame.id, json));
    this.#presence.ask(frame, say).catch((error) => this.#fail(frame, error));
  }

  #acknowledge(id: number | undefined, { position, level, duplicate }: Receipt): void {
    if (id !== undefined) this.say({ type: "ack", id, position, level, ...(duplicate ? { duplicate } : {}) });
  }

  #fail(frame: ClientFrame, thrown: unknown): void {
    const error = tellable(thrown, (sentence) => this.hub.warn(sentence));
    if (frame.type === "subscribe") this.drop(frame.channel);
    this.say(errorFrame(error, { id: "id" in frame ? frame.id : undefined, channel: "channel" in frame ? frame.channel : undefined }));
  }

  #refuseFrame(thrown: unknown, data: string | Uint8Array): void {
    const error = tellable(thrown, (sentence) => this.hub.warn(sentence));
    this.say(errorFrame(error, { id: idOf(data, this.hub.limits) }));
    if (++this.#badFrames > this.hub.limits.badFramesMax) {
      this.end(
        new ThroughlineError("bad_frame", `More than ${this.hub.limits.badFramesMax} frames could not be read. See PROTOCOL.md §5.`),
      );
    }
  }

  /** Reads no more from a client that sends faster than it is served, or that does not take its answers. */
  #regulate(): void {
    const { framesPendingMax, messageBytesMax } = this.hub.limits;
    const wait = (this.#waiting?.length ?? 0) >= framesPendingMax || this.#waitingBytes >= messageBytesMax || this.full();
    if (wait === this.#paused || this.#socket === null) return;
    this.#paused = wait;
    if (wait) this.#socket.pause();
    else this.#socket.resume();
  }
}

function response(id: number, json: string): Uint8Array {
  return textFrame(`{"type":"response","id":${id},"data":${json}}`);
}

function readBinary(message: Uint8Array, limits: Limits): ClientFrame {
  const { header, bytes } = unpackBinary(message);
  return readClientFrame(header, limits, bytes);
}

/** The id of a frame that could not be read, where it can be made out: whoever sent it waits for an answer with that id. */
function idOf(data: string | Uint8Array, limits: Limits): number | undefined {
  try {
    const text = typeof data === "string" ? data : unpackBinary(data).header;
    checkJsonDepth(text, limits);
    const { id } = JSON.parse(text) as { id?: unknown };
    return Number.isSafeInteger(id) ? (id as number) : undefined;
  } catch {
    return undefined;
  }
}
