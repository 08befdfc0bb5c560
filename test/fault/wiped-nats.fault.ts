import { expect } from "vitest";
import { Places } from "../../src/engines/nats/places.ts";
import { NATS_VERSION } from "../support/nats-version.ts";
import { NatsBroker } from "./nats-broker.ts";
import { Nodes } from "./nodes.ts";
import { ALL, NOTHING, remember, SINCE, startWithOlder, startWithout, type Wipe, wiped } from "./wiped.ts";

const NODES = 2;
/** As the engine has them where the application names nothing else. */
const PLACES = ["orders", "chat/lobby", "quiet"].map((channel) => new Places("throughline", 8).of(channel));
const STREAMS = JSON.stringify([...new Set(PLACES.map(({ stream }) => stream))]);

type NatsWipe = Wipe<NatsBroker>;
type Terms = Omit<NatsWipe, "befall">;

/** What an operator does, between two steps of the nodes. */
function step(terms: Terms, body: string): NatsWipe {
  return {
    ...terms,
    async befall({ broker, nodes }, taken) {
      await nodes.meanwhile(async () => {
        taken();
        await broker.ask(body);
      });
    },
  };
}

const WIPES: Readonly<Record<string, NatsWipe>> = {
  "it is started without its store": { ...ALL, befall: startWithout },
  "the streams are deleted": step(ALL, `for (const name of ${STREAMS}) await api("STREAM.DELETE." + name);`),
  "the streams are purged": step(ALL, `for (const name of ${STREAMS}) await api("STREAM.PURGE." + name);`),
  "each channel is purged alone": step(
    ALL,
    `for (const { stream, log } of ${JSON.stringify(PLACES)}) await api("STREAM.PURGE." + stream, { filter: log });`,
  ),
  "consumers are deleted while nodes read": {
    ...NOTHING,
    async befall({ ground, broker }, taken) {
      taken();
      const deleted = broker.ask<number>(DELETE_CONSUMERS);
      for (let times = 0; times < 3; times++) {
        const visitors = await ground.gather({ publishers: 0, askers: 0, readers: { sse: 2, websocket: 2 } });
        await ground.progress(20);
        await ground.dismiss(visitors);
      }
      expect(await deleted, "consumers deleted").toBeGreaterThan(0);
    },
  },
  "the window within which it knows a message again itself has passed, and it is restarted": {
    ...NOTHING,
    async befall({ broker, nodes }, taken) {
      taken();
      await broker.ask(SHORTEN_WINDOW);
      await broker.crash();
      for (let node = 1; node <= nodes.count; node++) {
        await nodes.stop(node, "SIGTERM");
        await nodes.serve(node);
      }
    },
  },
  "an older copy of its store is put back while no node runs": {
    ...SINCE,
    async befall(stage, taken) {
      const { broker, nodes } = stage;
      await remember(stage);
      for (let node = 1; node <= nodes.count; node++) await nodes.stop(node, "SIGTERM");
      await broker.stop("SIGKILL");
      taken();
      broker.kept.recall();
      await broker.start();
      for (let node = 1; node <= nodes.count; node++) await nodes.serve(node);
    },
  },
  "it is started anew with an older copy of its store": { ...SINCE, befall: startWithOlder },
};

/** For four seconds, whatever consumers there are at any time. */
const DELETE_CONSUMERS = `
  let deleted = 0;
  for (const end = Date.now() + 4_000; Date.now() < end; ) {
    for (const stream of ${STREAMS}) {
      for (const consumer of (await api("CONSUMER.NAMES." + stream)).consumers ?? []) {
        if ((await api("CONSUMER.DELETE." + stream + "." + consumer)).success) deleted++;
      }
    }
  }
  return deleted;`;

/** From two minutes to a tenth of a second, which then passes. */
const SHORTEN_WINDOW = `
  for (const name of ${STREAMS}) {
    const { config } = await api("STREAM.INFO." + name);
    const { error } = await api("STREAM.UPDATE." + name, { ...config, duplicate_window: 100_000_000 });
    if (error) throw new Error(error.description);
  }
  await new Promise((resolve) => setTimeout(resolve, 200));`;

wiped(
  {
    row: "B8 wiped",
    name: "NATS",
    async begin(ground) {
      const broker = new NatsBroker(ground);
      await broker.start();
      return { nodes: new Nodes(ground, NODES, NatsBroker.urlOf), broker, version: `nats-server v${NATS_VERSION}` };
    },
    measured: ({ deaths }) => ({ deaths }),
  },
  WIPES,
);
