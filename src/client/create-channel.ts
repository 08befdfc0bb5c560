import type { ThroughlineError } from "../protocol/error.ts";
import { backoff } from "./backoff.ts";
import { REQUEST_MS } from "./bounds.ts";
import type { Channel, ChannelEvents, ChannelState, Gap, Handler, Page, ReadOptions, SubscribeOptions } from "./channel.ts";
import type { Connection } from "./connection.ts";
import { attempt, createEmitter, type Subscription, subscription } from "./emitter.ts";
import type { Environment } from "./environment.ts";
import { disconnected } from "./faults.ts";
import { formatFrom } from "./format-from.ts";
import { MAY_RETRY } from "./may-retry.ts";
import { type Message, toMessage } from "./message.ts";
import { epochOf, offsetOf, positionOf } from "./position.ts";
import { createReader, type Outcome, type Reader, type Sink } from "./reader.ts";
import { type Published, type PublishOptions, pathOf } from "./upstream.ts";
import type { Feed, ReadingFrame, View } from "./view.ts";
import { onAbort, pause } from "./within.ts";

/** Hears nothing, and is never full. */
const DEAF: Sink = { take() {}, room: () => 1_000 };

export function createChannel(name: string, connection: Connection, { clock, http, limits, random, report }: Environment): Channel {
  const { upstream, open } = connection;
  const emitter = createEmitter<ChannelEvents>(report);
  const readers = new Set<Reader>();
  /** How far the pipes have brought it: the line that readers join, of which none who has joined is behind. Null before it has begun. */
  let line: string | null = null;
  /** Where it begins; empty while the channel is on no pipe. */
  let lineFrom = "";
  let state: ChannelState = "closed";

  const feed: Feed = {
    from: () => (line ? `after:${line}` : lineFrom),
    hear,
    isReady: ({ live, position }) => live || (position !== "" && offsetOf(position) >= offsetOf(line ?? "")),
    turn,
    signal: (signal) => void emitter.emit("signal", signal),
    end: shut,
  };

  /** A frame of a pipe, to all. */
  function hear(view: View, frame: ReadingFrame): ReturnType<Feed["hear"]> {
    if (frame.type === "subscribed") {
      const { position } = frame;
      view.position = position;
      line ??= position;
      // Two pipes were asked for "now" at once, and this one's now may be later than that of the other
      each(view, (reader) => {
        // One that reads pages begins where its first page does
        if (reader.mode !== "joined") return false;
        reader.position ??= position;
        // Who read further on in pages than the line is now may have done so in a log that is there no more; the pipe is not to blame
        if (reader.position > (line as string)) resume(reader);
        return reader.position < position ? null : false;
      });
      if (state === "subscribing") turn("catching-up");
    }
    // R14
    if (!view.position) return;
    if (frame.type === undefined) {
      const before = view.position;
      const message = toMessage(name, positionOf(epochOf(before), frame.id), frame);
      if (state === "gap") turn(view.live ? "live" : "catching-up");
      reach(view, message.position);
      return each(view, (reader) => reader.offer(message, before)) ? "received" : "duplicates";
    }
    if (frame.type === "gap") {
      reach(view, frame.resumeFrom);
      if (!each(view, (reader) => reader.skip(frame))) return;
      line = frame.resumeFrom;
      tellGap(frame);
      return "gaps";
    }
    if (frame.type === "epoch") view.position = frame.epoch + view.position.slice(20);
    if (frame.type === "live") {
      view.live = true;
      turn("live");
    }
    return;
  }

  /** The line is where a pipe is, also past a hole: who has joined and lacks what is in it will doubt, and of the others none is behind. */
  function reach(view: View, position: string): void {
    view.position = position;
    if (position > (line as string)) line = position;
  }

  /** Brings something of a pipe to all. True if one took it. */
  function each(view: View, bring: (reader: Reader) => Outcome): boolean {
    // A copy: a handler may begin another, for which this is not meant
    return [...readers]
      .map((reader) => {
        const outcome = bring(reader);
        if (outcome === null) doubt(reader, view);
        else relieve(reader);
        return outcome;
      })
      .includes(true);
  }

  function shut(error?: ThroughlineError): void {
    for (const reader of readers) end(reader, error);
  }

  function turn(to: ChannelState): void {
    if (state === to) return;
    state = to;
    emitter.emit("state", to);
  }

  function tellGap(gap: Gap): void {
    turn("gap");
    emitter.emit("gap", gap);
  }

  /** Begins a local subscription. */
  function read(sink: Sink, { from = "now", signal }: ReadOptions = {}): Reader {
    const start = formatFrom(from);
    const reader = createReader(start, sink, limits.iteratorCountMax / 2);
    readers.add(reader);
    open.set(shut, channel);
    onAbort(signal, () => end(reader), reader.abort);
    if (connection.error) end(reader, connection.error);
    if (reader.mode === "ended") return reader;
    if (!lineFrom) begin(reader);
    // One that takes nothing may stand anywhere, and need not ask for history
    else if (sink === DEAF || (start === "now" && state === "live")) reader.position = line;
    else if (line || start !== lineFrom) resume(reader);
    return reader;
  }

  function end(reader: Reader, error?: ThroughlineError): void {
    if (!readers.delete(reader)) return;
    reader.mode = "ended";
    reader.abort.abort();
    reader.sink.end?.(error);
    rest();
  }

  /** Puts the channel on the connection's pipes, where this reader stands. */
  function begin(reader: Reader): void {
    reader.mode = "joined";
    line = reader.position;
    lineFrom = reader.from;
    turn("subscribing");
    connection.read(name, feed);
  }

  /** Takes it off, if nobody is on the line any more. */
  function rest(): void {
    const modes = [...readers].map((reader) => reader.mode);
    if (!readers.size && !emitter.size) open.delete(shut);
    if (modes.includes("joined")) return;
    if (lineFrom) connection.leave(name);
    line = null;
    lineFrom = "";
    turn(modes.includes("reading") ? "catching-up" : readers.size ? "paused" : "closed");
  }

  function relieve(reader: Reader): void {
    if (reader.mode === "ended" || reader.sink.room() > 0) return;
    reader.mode = "paused";
    rest();
  }

  /** What a pipe brings does not fit. Once more at the same position, and the pipe is not to be believed: it is cut, and asked again in a while. */
  function doubt(reader: Reader, view: View): void {
    const again = reader.doubted === reader.position;
    // The next pipe is another, and the log may be: then pages are asked again what became of this place
    reader.doubted = again ? "" : reader.position;
    if (again) view.distrusted = true;
    else resume(reader);
  }

  function resume(reader: Reader): void {
    reader.mode = "reading";
    rest();
    void catchUp(reader);
  }

  /** Pages of history until it meets the line; or, if there is no line, until there is nothing more, and then it is the line. */
  async function catchUp(reader: Reader): Promise<void> {
    const { signal } = reader.abort;
    let failures = 0;
    while (reader.mode === "reading") {
      try {
        const position = reader.position;
        // Half of what there is room for: the rest is for what the line brings meanwhile
        const page = await getPage(
          { from: position ? `after:${position}` : reader.from, limit: Math.ceil(reader.sink.room() / 2) },
          signal,
        );
        failures = 0;
        if (page.gap) {
          // A gap is a position, from which also what follows it is judged (R12)
          reader.position = page.gap.resumeFrom;
          tellGap(page.gap);
        }
        page.messages.forEach(reader.take);
        reader.position ??= page.position;
        if (line) reader.meet(line);
        else if (page.upToDate && !lineFrom) begin(reader);
        relieve(reader);
        // The line has not begun, or the page led nowhere: look again in a while
        if (reader.mode === "reading" && reader.position === position) throw disconnected();
      } catch (error) {
        if (signal.aborted) return;
        const fault = disconnected(error);
        if (!MAY_RETRY.test(fault.code)) {
          if (!reader.sink.end) report(fault);
          return end(reader, fault);
        }
        await pause(clock, Math.max(fault.retryAfterMs ?? 0, backoff(failures++, limits, random())), signal);
      }
    }
  }

  async function getPage(query: object, signal: AbortSignal | undefined): Promise<Page> {
    const page = (await http.json(pathOf("channels", name, query), REQUEST_MS, signal)) as Page;
    // Where a reader will stand: what is no text throws here, and not at each pipe that brings a gap to who stands there
    offsetOf(page.gap?.resumeFrom ?? page.position);
    return { ...page, messages: page.messages.map((told) => toMessage(name, told.position, told)) };
  }

  async function* messages<Data>(options?: ReadOptions): AsyncGenerator<Message<Data>, void, undefined> {
    const queue: Message[] = [];
    let over: ThroughlineError | true | undefined;
    let wake: (() => void) | undefined;
    const reader = read(
      {
        take(message) {
          queue.push(message);
          wake?.();
        },
        room: () => limits.iteratorCountMax - queue.length,
        end(error) {
          over = error && error.code !== "closed" ? error : true;
          wake?.();
        },
      },
      options,
    );
    try {
      while (over !== true) {
        const message = queue.shift();
        if (message) yield message as Message<Data>;
        else if (over) throw over;
        else {
          if (reader.mode === "paused") resume(reader);
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      end(reader);
    }
  }

  const channel: Channel = {
    name,
    get state() {
      return state;
    },
    get position() {
      return line;
    },
    subscribe(event: unknown, handler?: unknown, options?: SubscribeOptions): Subscription {
      if (typeof event !== "string") [event, handler, options] = [(handler as SubscribeOptions)?.event, event, handler as SubscribeOptions];
      const take = (message: Message): void => {
        if ((event ?? message.event) === message.event) attempt(handler as Handler<unknown>, message, report);
      };
      const reader = read({ ...DEAF, take }, options);
      return subscription(() => end(reader));
    },
    messages,
    [Symbol.asyncIterator]: messages,
    publish(...given: unknown[]): Promise<Published> {
      if (given.length < 2) given.unshift(undefined);
      return upstream.publish(name, ...(given as [string | undefined, unknown, PublishOptions?]));
    },
    signal: (...given) => upstream.signal(name, ...given),
    request: (...given) => upstream.request(name, ...given) as Promise<never>,
    history({ from, signal, ...query } = {}) {
      return getPage({ ...query, from: from && formatFrom(from) }, signal) as Promise<never>;
    },
    on(event, handler) {
      const { unsubscribe } = emitter.on(event, handler);
      open.set(shut, channel);
      const reader = event === "signal" && read(DEAF);
      return subscription(() => {
        unsubscribe();
        if (reader) end(reader);
        else rest();
      });
    },
  };
  return channel;
}
