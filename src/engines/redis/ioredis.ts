import type { Argument, Link, LinkEvents, Plug, Reply } from "./link.ts";

/** What this engine needs of a client of ioredis: `new Redis()` or `new Cluster()`, version 5 or 6. */
export interface IoredisClient {
  readonly isCluster: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: a cluster takes its start nodes before the options
  duplicate(...overrides: any[]): unknown;
  callBuffer(command: string, ...words: never[]): Promise<unknown>;
}

interface Duplicate extends IoredisClient {
  connect(): Promise<unknown>;
  disconnect(): void;
  // biome-ignore lint/suspicious/noExplicitAny: the events of an emitter
  on(event: string, listener: (...details: any[]) => void): unknown;
  callBuffer(command: string, words: readonly (Argument | number)[]): Promise<unknown>;
  subscribe(...names: string[]): Promise<unknown>;
  unsubscribe(...names: string[]): Promise<unknown>;
  ssubscribe(name: string): Promise<unknown>;
  sunsubscribe(name: string): Promise<unknown>;
  readonly stream?: { destroy(): void };
}

/** Off: all that would send a command again after its connection was lost, for it may have been done. RESP2, which all of its versions speak. */
const ONCE = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: null,
  enableAutoPipelining: false,
  keyPrefix: "",
  protocol: 2,
  retryStrategy: null,
};

export function ioredisPlug(client: IoredisClient): Plug {
  const { isCluster } = client;
  return {
    isCluster,
    async open(events) {
      const duplicate = (isCluster ? client.duplicate(undefined, clusterOptions(client)) : client.duplicate(ONCE)) as Duplicate;
      return openLink(duplicate, events);
    },
  };
}

/** The nodes of a cluster reconnect by themselves; what was under way on one that was lost is not sent again. */
function clusterOptions(client: IoredisClient): object {
  const { options } = client as unknown as { readonly options?: { readonly redisOptions?: object } };
  return {
    lazyConnect: true,
    enableAutoPipelining: false,
    keyPrefix: "",
    scaleReads: "master",
    retryDelayOnFailover: 0,
    shardedSubscribers: true,
    redisOptions: { ...options?.redisOptions, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, keyPrefix: "", protocol: 2 },
  };
}

async function openLink(client: Duplicate, { onEnd, onHeard }: LinkEvents): Promise<Link> {
  let isOver = false;
  let last = new Error("The connection to Redis was closed.");
  client.on("error", (error: Error) => {
    last = error;
  });
  client.on("end", () => {
    if (isOver) return;
    isOver = true;
    onEnd(last);
  });
  for (const event of ["messageBuffer", "smessageBuffer"]) {
    client.on(event, (name: Buffer, message: Buffer) => onHeard(name.toString(), message));
  }
  try {
    await client.connect();
  } catch (error) {
    isOver = true;
    client.disconnect();
    // Of the two errors the one before tells why
    throw last.message.startsWith("The connection") ? error : last;
  }
  return {
    send: (_key, [command, ...words]) => client.callBuffer(String(command), words) as Promise<Reply>,
    async subscribe(names) {
      if (client.isCluster) await Promise.all(names.map((name) => client.ssubscribe(name)));
      else await client.subscribe(...names);
    },
    async unsubscribe(names) {
      if (client.isCluster) await Promise.all(names.map((name) => client.sunsubscribe(name)));
      else await client.unsubscribe(...names);
    },
    async ping() {
      if (!client.isCluster) await client.callBuffer("ping", []);
    },
    close() {
      isOver = true;
      client.disconnect();
      // A network that swallows everything swallows the goodbye too
      client.stream?.destroy();
    },
  };
}
