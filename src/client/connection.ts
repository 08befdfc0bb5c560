import type { Cancel } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { ErrorFrame, MessageFrame, ServerFrame } from "../protocol/frame.ts";
import { type Choice, chooseTransport, TALK_MIN } from "./choose-transport.ts";
import { type ConnectionState, type Happening, START, step } from "./connection-state.ts";
import type { Environment } from "./environment.ts";
import { openLongPoll } from "./long-poll-pipe.ts";
import { mayRetry } from "./may-retry.ts";
import type { Transport } from "./options.ts";
import { watchPage } from "./page-events.ts";
import { type Ask, disconnected, type OpenPipe, type Pipe } from "./pipe.ts";
import { openSse } from "./sse-pipe.ts";
import { type Carrier, createUpstream, type Upstream } from "./upstream.ts";
import { askFor, type Feed, hasCaughtUp, type ReadingFrame, read, type View } from "./view.ts";
import { openWebSocket } from "./websocket-pipe.ts";
import { createWitness } from "./witness.ts";

/** A channel, as the connection sees it. */
export interface ChannelFeed extends Feed {
  /** The connection is cut: it is being asked for again. */
  lost(): void;
  signal(frame: ServerFrame & { type: "signal" }): void;
  /** The server will not let it be read. */
  end(error: ThroughlineError): void;
}

/** How a client has fared: whole numbers since it was made. */
export interface Counts {
  /** Messages handed out, once each per channel. */
  received: number;
  /** Messages that came twice, as they do while two pipes overlap, and were dropped. */
  duplicates: number;
  gaps: number;
  /** Moves to another transport. */
  switches: number;
  reconnects: number;
}

export interface Connection extends Carrier {
  readonly counts: Counts;
  readonly upstream: Upstream;
  readonly transport: Transport | null;
  readonly reason: string;
  /** Reads a channel, from the end of this turn on. */
  read(name: string, feed: ChannelFeed): void;
  leave(name: string): void;
  switchTo(transport: Transport | "auto"): void;
  close(): void;
}

/** A pipe and what is known of it. */
interface Attached {
  readonly id: number;
  readonly transport: Transport;
  readonly pipe: Pipe;
  readonly views: Map<string, View>;
  /** A channel was left that it cannot leave. */
  stale: boolean;
  /** When the first frame came; -1 before. */
  upAt: number;
  heardAt: number;
  /** How long it may say nothing: two heartbeats. */
  patienceMs: number;
  cancel: Cancel;
}

const OPEN: { readonly [Name in Transport]: OpenPipe } = { sse: openSse, websocket: openWebSocket, "long-poll": openLongPoll };

/** How soon a socket must answer when the page wakes up. */
const WAKE_MS = 5_000;

/** The shell of the machine: makes pipes and timers what it says they must be, and tells it what happens. */
export function createConnection(environment: Environment, wanted: Transport | "auto"): Connection {
  const { clock, limits, random, emit, report } = environment;
  const feeds = new Map<string, ChannelFeed>();
  const counts: Counts = { received: 0, duplicates: 0, gaps: 0, switches: 0, reconnects: 0 };
  const witness = createWitness();
  const pipes = new Map<number, Attached>();
  let machine = START;
  /** The transport of the current pipe, or of the one before it. */
  let used: Transport | undefined;
  let retryMs = 0;
  let ids = 0;
  let planned = false;
  let cancelWait: Cancel | undefined;
  let unwatch: (() => void) | undefined;

  const current = (): Attached | undefined => pipes.get(machine.current);

  function choose(): Choice {
    return wanted === "auto" ? chooseTransport(witness.look(used, clock.elapsed())) : { transport: wanted, reason: "asked for" };
  }

  function tell(event: Happening): void {
    const before = machine;
    const after = step(before, event, { ...limits, retryMs }, random.fraction());
    machine = after;
    for (const id of pipes.keys()) if (id !== after.current && id !== after.next) detach(id);
    if (after.next && !pipes.has(after.next)) open(after.next);
    if (after.wait !== before.wait) {
      cancelWait?.();
      cancelWait = after.wait ? clock.after(after.wait.ms, () => tell({ type: "retry" })) : undefined;
    }
    if (after.state !== before.state) turn(before.state);
    if (after.current !== before.current) take(pipes.get(after.current));
  }

  function turn(before: ConnectionState): void {
    const { state, error } = machine;
    if (state === "connected" && before !== "connecting") counts.reconnects++;
    const ended = state === "closed" || state === "failed";
    if (ended || state === "idle") {
      unwatch?.();
      unwatch = undefined;
    } else unwatch ??= watchPage((type) => (type === "visible" ? wake() : tell({ type })));
    if (ended) environment.over(error ?? new ThroughlineError("closed", "The client is closed."));
    emit("state", state);
  }

  /** Another pipe is believed now, or none. */
  function take(attached: Attached | undefined): void {
    if (attached) {
      if (used && used !== attached.transport) counts.switches++;
      used = attached.transport;
    } else for (const feed of feeds.values()) feed.lost();
    emit("transport", attached?.transport ?? null);
    plan();
  }

  function open(id: number): void {
    const { transport } = choose();
    const views: Attached["views"] = new Map();
    const host = {
      asks() {
        views.clear();
        return [...feeds].map(([name, feed]) => askFor(name, feed, ++ids, views));
      },
      heard() {
        attached.heardAt = clock.elapsed();
      },
      // A pipe that was closed may still speak: it is not heard
      frame: (frame: ServerFrame) => pipes.has(id) && hear(attached, frame),
      end: (error: unknown) => ended(attached, disconnected(error)),
    };
    const attached: Attached = {
      id,
      transport,
      views,
      pipe: OPEN[transport](host, environment),
      stale: false,
      upAt: -1,
      heardAt: 0,
      patienceMs: 30_000,
      cancel: clock.after(limits.connectSecondsMax * 1_000, () => ended(attached, new ThroughlineError("timeout", "No frame came in time."))),
    };
    pipes.set(id, attached);
  }

  function detach(id: number): void {
    const { cancel, pipe } = pipes.get(id) as Attached;
    pipes.delete(id);
    cancel();
    pipe.close();
    upstream.lost(id);
  }

  function ended(attached: Attached, error: ThroughlineError, bye = false): void {
    const { id, transport, upAt } = attached;
    if (!pipes.has(id)) return;
    const { code, retryAfterMs } = error;
    const nowMs = clock.elapsed();
    const stoodMs = upAt < 0 ? -1 : nowMs - upAt;
    detach(id);
    // A server that says goodbye says nothing about the way to it
    if (!bye || upAt < 0) witness.cut(transport, nowMs, stoodMs, code === "timeout");
    const final = retryAfterMs === undefined && (bye || !mayRetry(code));
    tell({ type: "cut", pipe: id, error, final, needed: lacks(current()), stoodMs });
    if (machine.error) report(machine.error);
    else emit("error", error);
    plan();
  }

  /** True if the pipe will not do. */
  function lacks(attached: Attached | undefined): boolean {
    return !!attached && (attached.stale || attached.transport !== choose().transport || missing(attached).length > 0);
  }

  function missing({ views }: Attached): [string, ChannelFeed][] {
    return [...feeds].filter(([name]) => !views.has(name));
  }

  function plan(): void {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      const socket = current()?.transport === "websocket" || (upstream.size && choose().transport === "websocket");
      tell({ type: feeds.size || socket ? "want" : "rest" });
      for (const attached of pipes.values()) {
        const { pipe, views, upAt } = attached;
        const asks = pipe.change && upAt >= 0 ? missing(attached).map(([name, feed]): Ask => askFor(name, feed, ++ids, views)) : [];
        if (asks[0]) pipe.change?.(asks, []);
      }
      if (!machine.next && !machine.wait && lacks(current())) tell({ type: "replace" });
      upstream.flush();
    });
  }

  function hear(attached: Attached, frame: ServerFrame): void {
    const { id, views } = attached;
    const { type } = frame;
    if (type === "bye") return ended(attached, new ThroughlineError(frame.code, frame.message, frame), true);
    if (type === "connected") {
      retryMs = frame.retryMs;
      attached.patienceMs = frame.heartbeatSeconds * 2_000;
    }
    if (attached.upAt < 0 || machine.state === "offline") {
      attached.upAt = attached.heardAt = clock.elapsed();
      watch(attached);
      tell({ type: "up", pipe: id });
      plan();
    }
    const { channel = "" } = frame as MessageFrame;
    const feed = feeds.get(channel);
    const view = views.get(channel);
    if (type === "ack" || type === "response") upstream.answer(frame);
    else if (type === "error") refuse(attached, feed, view, frame);
    // Both pipes bring it, and it has no position to know it by
    else if (type === "signal") id === machine.current && feed?.signal(frame);
    else if (view && feed) {
      const outcome = read(view, feed, frame as ReadingFrame);
      if (outcome === "message") counts.received++;
      if (outcome === "duplicate") counts.duplicates++;
      if (outcome === "gap") counts.gaps++;
      if ((frame as MessageFrame).encoding) witness.talked(TALK_MIN, clock.elapsed());
    }
    // Ready to take the place of the current one? Not before it has all channels, and has come as far (race R5)
    if (id !== machine.next) return;
    for (const one of views.values()) if (!hasCaughtUp(one, feeds.get(one.name) as Feed)) return;
    tell({ type: "proven", pipe: id });
  }

  function refuse(attached: Attached, feed: ChannelFeed | undefined, view: View | undefined, frame: ErrorFrame): void {
    const { code, message, id } = frame;
    const error = new ThroughlineError(code, message, frame);
    if (feed && view && (id ?? view.id) === view.id) {
      // One that may pass is a cut like any other: all channels come back at their positions
      if (mayRetry(code)) return ended(attached, error);
      attached.views.delete(view.name);
      feed.end(error);
      report(error);
    } else if (id) upstream.answer(frame);
    else report(error);
  }

  /** A pipe that says nothing for two heartbeats is dead, whatever the socket says (PROTOCOL.md §10). */
  function watch(attached: Attached): void {
    attached.cancel();
    // Each long-poll has its own end in time
    if (attached.transport === "long-poll") return;
    const leftMs = attached.heardAt + attached.patienceMs - clock.elapsed();
    if (leftMs > 0) attached.cancel = clock.after(leftMs, () => watch(attached));
    else ended(attached, disconnected());
  }

  /** The page may have slept, and timers with it. A socket can be asked whether it is still alive. */
  function wake(): void {
    const attached = current();
    if (!attached?.pipe.send) return;
    attached.pipe.send('{"type":"ping"}');
    attached.heardAt = Math.min(attached.heardAt, clock.elapsed() + WAKE_MS - attached.patienceMs);
    watch(attached);
  }

  const connection: Connection = {
    counts,
    get upstream() {
      return upstream;
    },
    get machine() {
      return machine;
    },
    get transport() {
      return current()?.transport ?? null;
    },
    get reason() {
      return choose().reason;
    },
    get socket() {
      const attached = current();
      return attached?.pipe.send && { id: attached.id, send: attached.pipe.send };
    },
    newId: () => ++ids,
    plan,
    talked(weight) {
      witness.talked(weight, clock.elapsed());
      plan();
    },
    read(name, feed) {
      feeds.set(name, feed);
      plan();
    },
    leave(name) {
      feeds.delete(name);
      for (const attached of pipes.values()) {
        if (!attached.views.delete(name)) continue;
        attached.pipe.change?.([], [name]);
        attached.stale = !attached.pipe.change;
      }
      plan();
    },
    switchTo(transport) {
      wanted = transport;
      if (machine.error || !machine.current) tell({ type: "replace" });
      plan();
    },
    close: () => tell({ type: "close" }),
  };
  const upstream = createUpstream(connection, environment);
  return connection;
}
