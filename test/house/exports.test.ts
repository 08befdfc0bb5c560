import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { findExportFaults, namesOf } from "./exports.ts";
import { ROOT, readHouse, readText } from "./source.ts";

const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8"));

/** The names of an export file, after making sure that its values are really there. */
async function publicNames(entry: string): Promise<string> {
  const names = namesOf(`${entry}.ts`, readText(`src/${entry}.ts`));
  const values = Object.keys(await import(`${ROOT}src/${entry}.ts`)).sort();
  expect(values, `src/${entry}.ts gives other values than it lists`).toEqual(names.filter((name) => !name.startsWith("type ")));
  return `\n${names.join("\n")}\n`;
}

describe("The package", () => {
  test("each export is a file directly in src/, and each such file an export", () => {
    expect(findExportFaults(manifest.exports, readHouse())).toEqual([]);
  });

  test("the check of exports finds a missing file, a file too many and a wrong target", () => {
    const exports = {
      ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
      "./client": { types: "./dist/client.d.ts", default: "./dist/other.js" },
      "./gone": { types: "./dist/gone.d.ts", default: "./dist/gone.js" },
      "./package.json": "./package.json",
    };
    const tree = new Map(["index.ts", "client.ts", "secret.ts", "core/hub.ts"].map((path) => [path, ""]));
    expect(findExportFaults(exports, tree)).toEqual([
      expect.stringContaining('"./client" should be'),
      'package.json exports "./gone", but src/gone.ts does not exist',
      "src/secret.ts stands directly in src/, but package.json does not export it",
    ]);
  });

  test("run-time dependencies are these, each with its sentence of need in ARCHITECTURE.md", () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual(["commander", "lmdb", "ws"]);
    expect(manifest.optionalDependencies).toBeUndefined();
    const architecture = readText("ARCHITECTURE.md");
    for (const name of Object.keys(manifest.dependencies)) {
      expect(architecture, `ARCHITECTURE.md has no sentence that says why ${name} is needed`).toMatch(
        new RegExp(`^- \`${name}\`.*:.+`, "m"),
      );
    }
  });
});

// A name that is added or removed here is a change that users see: it belongs in CHANGELOG.md.
describe("The public names", () => {
  test("of throughline", async () => {
    expect(await publicNames("index")).toMatchInlineSnapshot(`
      "
      ServerChannel
      Throughline
      ThroughlineError
      memory
      throughline
      type Action
      type Authenticate
      type Authorize
      type Connection
      type Counts
      type Credentials
      type ErrorCode
      type Handler
      type HandlerInput
      type HistoryOptions
      type HistoryPage
      type HubEvents
      type Identity
      type Limits
      type Log
      type Message
      type PresentMember
      type PublishOptions
      type Question
      type ReadOptions
      type Receipt
      type Retention
      type ThroughlineOptions
      type TransportName
      "
    `);
  });
  test("of throughline/client", async () => {
    expect(await publicNames("client")).toMatchInlineSnapshot(`
      "
      ThroughlineError
      connect
      type Channel
      type ChannelEvents
      type ChannelState
      type Client
      type ClientClock
      type ClientEvents
      type ClientLimits
      type ConnectOptions
      type ConnectionState
      type Counts
      type ErrorCode
      type From
      type Gap
      type Handler
      type HistoryOptions
      type Message
      type Page
      type PublishOptions
      type Published
      type ReadOptions
      type RequestOptions
      type Signal
      type SubscribeOptions
      type Subscription
      type Transport
      type WebSocketClass
      type WebSocketLike
      "
    `);
  });
  test("of throughline/presence", async () => {
    expect(await publicNames("presence")).toMatchInlineSnapshot(`
      "
      presence
      type Member
      type Presence
      type PresenceEvents
      type PresenceOptions
      "
    `);
  });
  test("of throughline/react", async () => {
    expect(await publicNames("react")).toMatchInlineSnapshot(`
      "
      ThroughlineProvider
      type ChannelOptions
      type ChannelSnapshot
      type ChannelView
      type ConnectionView
      useChannel
      useClient
      useConnection
      usePresence
      "
    `);
  });
  test("of throughline/fetch", async () => {
    expect(await publicNames("fetch")).toMatchInlineSnapshot(`
      "
      fetchHandler
      type FetchHandler
      type FetchOptions
      "
    `);
  });
  test("of throughline/node", async () => {
    expect(await publicNames("node")).toMatchInlineSnapshot(`
      "
      attach
      handler
      type AttachOptions
      type NodeHandler
      upgrade
      "
    `);
  });
  test("of throughline/express", async () => {
    expect(await publicNames("express")).toMatchInlineSnapshot(`
      "
      express
      type NodeHandler
      "
    `);
  });
  test("of throughline/fastify", async () => {
    expect(await publicNames("fastify")).toMatchInlineSnapshot(`
      "
      fastify
      type FastifyLike
      type FastifyPlugin
      "
    `);
  });
  test("of throughline/hono", async () => {
    expect(await publicNames("hono")).toMatchInlineSnapshot(`
      "
      hono
      type HonoContextLike
      type HonoHandler
      type MountOptions
      "
    `);
  });
  test("of throughline/disk", async () => {
    expect(await publicNames("disk")).toMatchInlineSnapshot(`
      "
      disk
      diskOwner
      diskWorker
      "
    `);
  });
  test("of throughline/redis", async () => {
    expect(await publicNames("redis")).toMatchInlineSnapshot(`
      "
      publisher
      redis
      type Publisher
      type PublisherOptions
      type RedisClient
      type RedisOptions
      "
    `);
  });
  test("of throughline/nats", async () => {
    expect(await publicNames("nats")).toMatchInlineSnapshot(`
      "
      nats
      publisher
      type NatsConnect
      type NatsOptions
      type Publisher
      type PublisherOptions
      "
    `);
  });
  test("of throughline/server", async () => {
    expect(await publicNames("server")).toMatchInlineSnapshot(`
      "
      startDev
      type DevOptions
      type DevServer
      "
    `);
  });
  test("of throughline/protocol", async () => {
    expect(await publicNames("protocol")).toMatchInlineSnapshot(`
      "
      DEFAULT_EVENT
      ERRORS
      LIMITS
      NO_EPOCH
      NO_TAG
      ORIGIN
      ThroughlineError
      checkChannelName
      formatFrom
      formatPosition
      isErrorCode
      matchPattern
      parseFrom
      parsePosition
      readPosition
      type AckFrame
      type Batch
      type ByeFrame
      type Cancel
      type ClientFrame
      type Clock
      type ConnectedFrame
      type Entry
      type EpochFrame
      type ErrorCode
      type ErrorFrame
      type ErrorMeaning
      type From
      type GapFrame
      type GapReason
      type HeartbeatFrame
      type Kind
      type Level
      type Limits
      type LiveFrame
      type MessageFrame
      type PingFrame
      type Position
      type PublishFrame
      type Random
      type RequestFrame
      type ResponseFrame
      type SendSignalFrame
      type ServerFrame
      type SignalFrame
      type Start
      type SubscribeFrame
      type SubscribedFrame
      type UnsubscribeFrame
      type UnsubscribedFrame
      withLimits
      "
    `);
  });
  test("of throughline/conformance", async () => {
    expect(await publicNames("conformance")).toMatchInlineSnapshot(`
      "
      logConformance
      type HandheldClock
      type LogConformanceOptions
      type LogPowers
      type LogSubject
      "
    `);
  });

  test("are pinned above for every export", () => {
    const pinned = [...readText("test/house/exports.test.ts").matchAll(/publicNames\("([a-z]+)"\)/g)].map(([, name]) => name);
    const exported = Object.keys(manifest.exports).filter((entry) => entry !== "./package.json");
    expect(pinned.map((name) => (name === "index" ? "." : `./${name}`)).sort()).toEqual(exported.sort());
  });

  test("are read with their types, in order", () => {
    const text = `export { b, type A } from "./core/hub.ts";\nexport type { Log as Storage } from "./core/log.ts";`;
    expect(namesOf("index.ts", text)).toEqual(["b", "type A", "type Storage"]);
  });
});
