import type { Cancel } from "../protocol/clock.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { ErrorFrame, MessageFrame, ServerFrame } from "../protocol/frame.ts";
import { NEVER_MS, TALK_MIN, WAKE_MS } from "./bounds.ts";
import { type Choice, chooseTransport } from "./choose-transport.ts";
import { type Happening, START, step } from "./connection-state.ts";
import type { Environment } from "./environment.ts";
import { disconnected, refusal, timedOut } from "./faults.ts";
import { openLongPoll } from "./long-poll-pipe.ts";
import { MAY_RETRY } from "./may-retry.ts";
import type { Transport } from "./options.ts";
import { watchPage } from "./page-events.ts";
import type { Ask, OpenPipe, Pipe, PipeHost } from "./pipe.ts";
import { openSse } from "./sse-pipe.ts";
import { type Carrier, createUpstream, type Upstream } from "./upstream.ts";
import type { Feed, ReadingFrame, View } from "./view.ts";
import { openWebSocket } from "./websocket-pipe.ts";
import { createWitness } from "./witness.ts";

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
  /** The channels that someone reads or listens to, by what ends the reading. It holds them: an application need not. */
  readonly open: Map<(error: ThroughlineError) => void, object>;
  /** Reads a channel, from the end of this turn on. */
  read(name: string, feed: Feed): void;
  leave(name: string): void;
  switchTo(transport: Transport | "auto"): void;
  close(): void;
}

/** A pipe, as the connection sees it. */
interface Attached {
  readonly id: number;
  readonly transport: Transport;
  readonly pipe: Pipe;
  readonly views: Views;
  /** A channel was left that it cannot leave. */
  stale: boolean;
  /** The page may have slept, and timers with it. A socket can be asked whether it is still alive. */
  wake(): void;
  close(): void;
}

type Views = Map<string, View>;

const OPEN: { readonly [Name in Transport]: OpenPipe } = { sse: openSse, websocket: openWebSocket, "long-poll": openLongPoll };

/** The shell of the machine: makes pipes and timers what it says they must be, and tells it what happens. */
export function createConnection(environment: Environment, wanted: Transport | "auto"): Connection {
  const { clock, limits, random, life, emit, report } = environment;
  const feeds = new Map<string, Feed>();
  const shuts: Connection["open"] = new Map();
  const counts: Counts = { received: 0, duplicates: 0, gaps: 0, switches: 0, reconnects: 0 };
  const witness = createWitness();
  const pipes = new Map<number, Attached>();
  let machine = START;
  /** The transport of the current pipe, or of the one before it. */
  let used: Transport | undefined;
  let ids = 0;
  let planned = false;
  let cancelWait: Cancel | null = null;
  let watched: AbortController | undefined;

  const current = (): Attached | undefined => pipes.get(machine.current);

  function choose(): Choice {
    return wanted === "auto" ? chooseTransport(...witness.look(used, clock.elapsed())) : [wanted, "asked for"];
  }

  function tell(event: Happening): void {
    const before = machine;
    const after = step(before, event, limits, random());
    machine = after;
    for (const { id, close } of pipes.values()) if (id !== after.current && id !== after.next) close();
    if (after.next && !pipes.has(after.next)) open(after.next);
    if (after.wait !== before.wait) {
      cancelWait?.();
      cancelWait =
        after.wait &&
        clock.after(after.wait.ms, () => {
          tell({ type: "retry" });
          plan();
        });
    }
    const { state, error } = after;
    if (state !== before.state) {
      if (state === "connected" && before.state !== "connecting") counts.reconnects++;
      if (state === "connecting") {
        watched = new AbortController();
        watchPage((type) => (type === "visible" ? current()?.wake() : tell({ type })), watched);
      }
      if (error || state === "idle") watched?.abort();
      if (error) {
        for (const [shut] of shuts) shut(error);
        upstream.end(error);
      }
      if (state === "closed") life.abort(error);
      emit("state", state);
    }
    if (after.current === before.current) return;
    // Another pipe is believed now, or none
    const transport = current()?.transport ?? null;
    if (transport) {
      if (used && used !== transport) counts.switches++;
      used = transport;
    } else for (const { turn } of feeds.values()) turn("subscribing");
    emit("transport", transport);
    plan();
  }

  function open(id: number): void {
    const [transport] = choose();
    const views: Views = new Map();
    const abort = new AbortController();
    const { signal } = abort;
    /** When the first frame came. */
    let upAt = NEVER_MS;
    let heardAt = 0;
    /** How long it may say nothing: two heartbeats. */
    let quietMs = 0;
    let cancel = clock.after(limits.connectSecondsMax * 1_000, () => end(timedOut()));

    const host: PipeHost = {
      signal,
      body() {
        views.clear();
        return JSON.stringify({ channels: ask(views) });
      },
      plan,
      heard() {
        heardAt = clock.elapsed();
      },
      frame(frame) {
        const { received } = counts;
        hear(frame);
        return received < counts.received;
      },
      end,
    };

    function hear(frame: ServerFrame): unknown {
      // One that was closed may still speak
      if (signal.aborted) return;
      if (frame.type === "bye") return end(refusal(frame), true);
      if (frame.type === "connected") {
        limits.retryMs = frame.retryMs;
        quietMs = frame.heartbeatSeconds * 2_000;
      }
      if (upAt === NEVER_MS) {
        upAt = heardAt = clock.elapsed();
        watch();
        tell({ type: "up", pipe: id });
        plan();
      }
      const { channel } = frame as MessageFrame;
      const feed = feeds.get(channel);
      const view = views.get(channel);
      if (frame.type === "signal") {
        // Both pipes bring it, and it has no position to know it by
        if (id === machine.current) feed?.signal(frame);
      } else if (!feed || !view || (frame.type && ((frame as ErrorFrame).id ?? view.id) !== view.id)) upstream.answer(frame);
      else if (frame.type === "error") {
        const error = refusal(frame);
        // One that may pass is a cut like any other: all channels come back at their positions
        if (MAY_RETRY.test(error.code)) return end(error);
        views.delete(channel);
        report(error);
        feed.end(error);
      } else {
        const outcome = feed.hear(view, frame as ReadingFrame);
        if (outcome) counts[outcome]++;
        if ((frame as MessageFrame).encoding) connection.talked(TALK_MIN);
        if (view.distrusted) return end();
      }
      // Ready to take the place of the current one? Not before it has all channels, and has come as far (race R5)
      if (id !== machine.next) return;
      for (const [name, one] of views) if (!feeds.get(name)?.isReady(one)) return;
      tell({ type: "proven", pipe: id });
    }

    /** A pipe that says nothing for two heartbeats is dead, whatever the socket says (PROTOCOL.md §10). */
    function watch(): void {
      cancel();
      // Each long-poll has its own end in time
      if (transport === "long-poll") return;
      const leftMs = heardAt + quietMs - clock.elapsed();
      if (leftMs > 0) cancel = clock.after(leftMs, watch);
      else end();
    }

    function end(fault?: unknown, bye = false): void {
      if (signal.aborted) return;
      const error = disconnected(fault);
      const nowMs = clock.elapsed();
      const stoodMs = nowMs - upAt;
      close();
      // A server that says goodbye says nothing about the way to it
      if (!bye || stoodMs < 0) witness.cut(transport, nowMs, stoodMs, error.code === "timeout");
      tell({ type: "cut", pipe: id, error, final: error.retryAfterMs === undefined && (bye || !MAY_RETRY.test(error.code)), stoodMs });
      if (machine.error) report(machine.error);
      else emit("error", error);
      plan();
    }

    function close(): void {
      pipes.delete(id);
      cancel();
      abort.abort();
      upstream.lost(id);
    }

    const pipe = OPEN[transport](host, environment);
    pipes.set(id, {
      id,
      transport,
      pipe,
      views,
      stale: false,
      wake() {
        if (!pipe.send) return;
        pipe.send('{"type":"ping"}');
        heardAt = clock.elapsed() + WAKE_MS - quietMs;
        watch();
      },
      close,
    });
  }

  /** Asks a pipe for what it does not carry yet. */
  function ask(views: Views): Ask[] {
    const asks: Ask[] = [];
    for (const [name, feed] of feeds) {
      if (views.has(name)) continue;
      views.set(name, { id: ++ids, position: "", live: false });
      asks.push({ name, id: ids, from: feed.from() });
    }
    return asks;
  }

  function plan(): void {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      const attached = current();
      // A WebSocket stays, for what the application may say; what waits is reason enough to open one
      const transport = attached?.transport ?? (upstream.size && choose()[0]);
      tell({ type: feeds.size || transport === "websocket" ? "want" : "rest" });
      for (const { pipe, views } of pipes.values()) pipe.begin?.(ask(views));
      // It will not do: a channel was added or left that it cannot add or leave, or another transport is better
      const lacks = attached && (attached.stale || attached.views.size !== feeds.size || attached.transport !== choose()[0]);
      if (lacks && !machine.next && !machine.wait) tell({ type: "replace" });
      upstream.flush();
    });
  }

  const connection: Connection = {
    counts,
    open: shuts,
    get upstream() {
      return upstream;
    },
    get state() {
      return machine.state;
    },
    get error() {
      return machine.error;
    },
    get transport() {
      return current()?.transport ?? null;
    },
    get reason() {
      return choose()[1];
    },
    get socket() {
      const attached = current();
      return attached?.pipe.send && attached;
    },
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
        attached.pipe.leave?.(name);
        attached.stale = !attached.pipe.leave;
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
