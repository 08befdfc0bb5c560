import type { Argument, Link, LinkEvents, Plug, Reply } from "./link.ts";

/** What this engine needs of a client of node-redis: `createClient()` or `createCluster()`, version 5 or 6. */
export interface NodeRedisClient {
  // biome-ignore lint/suspicious/noExplicitAny: options of its own
  duplicate(overrides?: any): unknown;
  connect(): Promise<unknown>;
  destroy(): void;
  // biome-ignore lint/suspicious/noExplicitAny: a client takes the words first, a cluster the key
  sendCommand(...words: any[]): Promise<unknown>;
}

type Listener = (message: Buffer, name: Buffer) => void;
type Subscribe = (names: string | readonly string[], listener?: Listener, bufferMode?: true) => Promise<unknown>;

interface Duplicate extends NodeRedisClient {
  // biome-ignore lint/suspicious/noExplicitAny: the events of an emitter
  on(event: string, listener: (...details: any[]) => void): unknown;
  removeAllListeners(event: string): unknown;
  readonly isReady: boolean;
  /** Of a cluster: those that it takes for the masters. */
  readonly masters?: readonly { readonly host: string; readonly port: number }[];
  readonly subscribe: Subscribe;
  readonly unsubscribe: Subscribe;
  readonly sSubscribe: Subscribe;
  readonly sUnsubscribe: Subscribe;
}

/** What it says of a connection that it does not open again. */
const CLOSED = /^The client is closed/;

/** And of one that it tries to open again. */
const AWAY = /^(The client is offline|Connection timeout)/;

/** By their RESP types: bulk strings ("$") come as bytes, and the maps of RESP3 ("%") as arrays, which is what they are in RESP2. */
const AS_BYTES = { typeMapping: { 36: Buffer, 37: Array } };

export function nodeRedisPlug(client: NodeRedisClient): Plug {
  const isCluster = "masters" in client;
  return {
    isCluster,
    async open(events) {
      const duplicate = client.duplicate(isCluster ? clusterOptions(client) : clientOptions(client)) as Duplicate;
      return openLink(duplicate, isCluster, events);
    },
  };
}

/** Off: the queue of what waits for a connection, and reconnecting. What was under way on a lost connection node-redis never sends again. */
function clientOptions(client: NodeRedisClient): object {
  const { options } = client as unknown as { readonly options?: { readonly socket?: object } };
  return { disableOfflineQueue: true, keyPrefix: undefined, socket: { ...options?.socket, reconnectStrategy: false } };
}

/** The nodes of a cluster reconnect by themselves. They are connected to when they are asked something: one that is away does not keep a link from opening. */
function clusterOptions(client: NodeRedisClient): object {
  const { _options } = client as unknown as { readonly _options?: { readonly defaults?: object } };
  return {
    useReplicas: false,
    minimizeConnections: true,
    keyPrefix: undefined,
    defaults: { ..._options?.defaults, disableOfflineQueue: true },
  };
}

async function openLink(client: Duplicate, isCluster: boolean, { onEnd, onHeard }: LinkEvents): Promise<Link> {
  let isOver = false;
  let isUp = false;
  const end = (error: Error) => {
    if (!isUp || isOver) return;
    isOver = true;
    onEnd(error);
  };
  client.on("error", (error: Error) => {
    if (!isCluster && !client.isReady) end(error);
  });
  // What was listened to at a member of a cluster that is none any more: the library would listen at another by promises that nobody awaits
  for (const event of isCluster ? ["__resubscribeListeners", "sharded-channel-moved-error"] : []) {
    client.removeAllListeners(event);
    client.on(event, () => end(new Error("A member of the cluster has gone.")));
  }
  try {
    await client.connect();
    isUp = true;
  } catch (error) {
    isOver = true;
    destroy(client);
    throw error;
  }
  let isLooking = false;
  /** Where a master cannot be connected to, the library goes on trying there for ever: what it knows of the cluster may be of the time before another took its place. */
  const look = async (error: Error) => {
    if (!isCluster || isLooking || isOver || !isAway(error)) return;
    isLooking = true;
    try {
      if (await isOutdated(client)) end(error);
    } catch {
      // Whoever was asked is away too; the next error has another asked
    } finally {
      isLooking = false;
    }
  };
  const asked = <T>(promise: Promise<T>): Promise<T> => {
    promise.catch(look);
    return promise;
  };
  const hear: Listener = (message, name) => onHeard(name.toString(), message);
  return {
    send(key, words: readonly Argument[]) {
      if (!isCluster) return client.sendCommand(words, AS_BYTES) as Promise<Reply>;
      const sent = asked(client.sendCommand(key, false, words, AS_BYTES) as Promise<Reply>);
      return sent.catch((error: Error) => {
        // The library has given a member up for good, and would go on asking it. Whoever asked is told first: this one was not sent, unlike what others were asked
        if (CLOSED.test(error.message)) setImmediate(end, error);
        throw error;
      });
    },
    async subscribe(names) {
      if (isCluster) await Promise.all(names.map((name) => asked(client.sSubscribe(name, hear, true))));
      else await client.subscribe(names, hear, true);
    },
    async unsubscribe(names) {
      if (isCluster) await Promise.all(names.map((name) => client.sUnsubscribe(name)));
      else await client.unsubscribe(names);
    },
    async ping() {
      if (!isCluster) await client.sendCommand(["PING"]);
    },
    close() {
      isOver = true;
      destroy(client);
    },
  };
}

function isAway(error: Error & { readonly syscall?: string }): boolean {
  return error.syscall === "connect" || AWAY.test(error.message);
}

/** True if the cluster, asked at any of its members, has other masters than the library takes for them. */
async function isOutdated(cluster: Duplicate): Promise<boolean> {
  const slots = (await cluster.sendCommand(undefined, true, ["CLUSTER", "SLOTS"])) as [number, number, [string, number]][];
  const masters = new Set(slots.map(([, , [host, port]]) => `${host}:${port}`));
  const known = new Set((cluster.masters ?? []).map(({ host, port }) => `${host}:${port}`));
  return masters.size !== known.size || [...masters].some((master) => !known.has(master));
}

/** Version 5 throws where there is nothing open to destroy. */
function destroy(client: Duplicate): void {
  try {
    client.destroy();
  } catch {
    // It is closed
  }
}
