import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SPELL_MS } from "../../src/core/shared-reads.ts";
import { disk } from "../../src/disk.ts";
import { throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { engineAt } from "./brokers.ts";

/*
 * A server in a process of its own, which counts what a storm of readers costs it. Told by messages: `publish` so many at once, `traffic` so
 * many a second from now on, `tell` how it stands. Run as: node storm-child.js <data directory, or the address of a
 * broker> <channel>
 */
export interface Standing {
  readonly port: number;
  /** Of the message published last; empty before. */
  readonly position: string;
  readonly connections: number;
  /** How often the log was read. */
  readonly reads: number;
  /** How often the same of it was read within CROWD_MS, at most. */
  readonly crowded: number;
  /** kB of memory that is this process's own (RssAnon of /proc): what LMDB maps is not. */
  readonly rssAnonKb: number;
}

/** Less than a spell of reads that are shared (src/core/shared-reads.ts), of which a timer may end one a millisecond early: it meets two of them at most. */
const CROWD_MS = SPELL_MS - 1;

export type Order = { readonly publish: number } | { readonly traffic: number } | { readonly tell: true };

const [, , place = "", name = ""] = process.argv;

if (place !== "" && process.send !== undefined) {
  const engine = place.startsWith("{") ? engineAt(JSON.parse(place), {}) : disk(place);
  let reads = 0;
  let crowded = 0;
  const crowds = new Map<string, number[]>();
  const read = engine.read.bind(engine);
  engine.read = (...asked) => {
    reads++;
    const nowMs = performance.now();
    const what = JSON.stringify(asked);
    const crowd = [...(crowds.get(what) ?? []).filter((ms) => ms > nowMs - CROWD_MS), nowMs];
    crowds.set(what, crowd);
    crowded = Math.max(crowded, crowd.length);
    return read(...asked);
  };
  // Raw readers answer no pings
  const tl = throughline({ engine, limits: { heartbeatSeconds: 120 } });
  const server = createServer();
  attach(tl, server);
  server.listen(0, "127.0.0.1");
  let position = "";
  let count = 0;
  let timer: NodeJS.Timeout | undefined;

  const publish = async () => {
    const receipt = await tl.channel(name).publish({ n: ++count, padding: "x".repeat(100) });
    position = receipt.position;
  };

  process.on("message", async (order: Order) => {
    if ("traffic" in order) {
      clearInterval(timer);
      if (order.traffic > 0) timer = setInterval(() => void publish(), 1_000 / order.traffic);
    } else if ("publish" in order) await Promise.all(Array.from({ length: order.publish }, publish));
    const { connections } = tl.counts();
    const { port } = server.address() as AddressInfo;
    const rssAnonKb = Number(/RssAnon:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
    process.send?.({ port, position, connections, reads, crowded, rssAnonKb } satisfies Standing);
  });
}
