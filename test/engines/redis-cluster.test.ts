import { createCluster } from "redis";
import { afterAll, describe, expect, test } from "vitest";
import { redis } from "../../src/redis.ts";
import { codeOf, LOBBY, Nodes, text } from "../support/brokers.ts";
import { handClock } from "../support/clock.ts";
import { leads, RedisCluster } from "../support/redis-cluster.ts";
import { LIBRARIES } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

let shared: Promise<RedisCluster> | null = null;
const cluster = () => (shared ??= RedisCluster.start({ silentMsMax: 60_000 }));
afterAll(async () => (await shared)?.[Symbol.asyncDispose]());
let prefixes = 0;

describe.each(LIBRARIES)("A node on a cluster, with $name", (library) => {
  const open = async () => {
    const { port } = await cluster();
    const prefix = `moved-${++prefixes}:`;
    return { prefix, nodes: new Nodes((options) => redis(library.cluster(port), { ...options, prefix })) };
  };

  test("[D10] listens where a channel is now, after its slot has moved", async () => {
    const { nodes: members } = await cluster();
    const { nodes, prefix } = await open();
    await using all = nodes;
    const { log } = await all.open();
    const channels = numbers(8).map((n) => `room/${n}`);
    for (const channel of channels) await log.append(channel, [text("before", "key")]);
    for (const channel of channels) log.follow(channel, () => {});
    const listens = async (channel: string) => {
      const { ask } = members[await ownerOf(members, channel)]!;
      return ((await ask.call("PUBSUB", "SHARDNUMSUB", `${prefix}{${channel}}:wake`)) as [string, number])[1] > 0;
    };
    const isHeard = async () => (await Promise.all(channels.map(listens))).every((yes) => yes);
    await until("it listens to all", isHeard);
    for (const from of [0, 2, 1]) {
      const to = (from + 1) % 3;
      await lead(members, to);
      const tellThird = [];
      for (const channel of channels) {
        if ((await ownerOf(members, channel)) === from) tellThird.push(await move(members, channel, from, to));
      }
      expect(tellThird).not.toEqual([]);
      for (const tell of tellThird) await tell();
      await until("it listens to all where they are now", isHeard);
    }
  });

  test("[D10] gives up a member that is silent, though the others answer, and goes on with those", async () => {
    const { nodes: members } = await cluster();
    const { nodes } = await open();
    await using all = nodes;
    const clock = handClock();
    const { log } = await all.open({}, { clock });
    const owners = await Promise.all(numbers(8).map(async (n) => [`room/${n}`, await ownerOf(members, `room/${n}`)] as const));
    const heard = owners.find(([, at]) => at === 0)!;
    // Not the one by which the client finds the cluster
    const silent = owners.find(([, at]) => at > 0)!;
    for (const [channel] of [silent, heard]) expect(await codeOf(log.append(channel, [text("before")]))).toBe("stored");
    members[silent[1]]!.freeze();
    try {
      let answer = "";
      void codeOf(log.append(silent[0], [text("into the silence")])).then((code) => (answer = code));
      const goesOn = async (ms = 1_000) => {
        const code = codeOf(log.append(heard[0], [text("meanwhile")]));
        await clock.advanceAsync(ms);
        return (await code) === "stored";
      };
      for (const _ of numbers(14)) expect(await goesOn()).toBe(true);
      expect(answer).toBe("");
      await goesOn();
      await until("it is given up", () => answer === "unknown");
      // About as fast as time goes by: a link may take five seconds to open
      await until("the others are written to again", () => goesOn(10));
    } finally {
      members[silent[1]]!.thaw();
    }
  });
});

test.each(LIBRARIES)("A client of one server, of $name, is not taken for a cluster, and it is said which is", async ({ client }) => {
  const { nodes: members } = await cluster();
  for (const { port } of members) {
    await using nodes = new Nodes((options) => redis(client({ port }), options));
    await expect(nodes.open()).rejects.toThrow(
      /^This Redis is a member of a cluster.* createCluster\(\) of node-redis, or new Cluster\(\) of ioredis\.$/,
    );
  }
});

test("[D10] A member that node-redis has given up for good is written to again, over another link", async () => {
  const { port } = await cluster();
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] });
  const opened: ReturnType<typeof createCluster>[] = [];
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (overrides) => {
    const one = duplicate(overrides);
    opened.push(one as never);
    return one;
  };
  await using nodes = new Nodes((options) => redis(client, { ...options, prefix: `moved-${++prefixes}:` }));
  const { log } = await nodes.open();
  const { nodes: members } = await cluster();
  const at = await ownerOf(members, LOBBY);
  const owners = await Promise.all(numbers(8).map(async (n) => [`room/${n}`, await ownerOf(members, `room/${n}`)] as const));
  const [elsewhere, other] = owners.find(([, one]) => one !== at)!;
  const append = (channel = LOBBY) => codeOf(log.append(channel, [text("one more")]));
  expect([await append(), await append(elsewhere)]).toEqual(["stored", "stored"]);
  members[other]!.freeze();
  const underWay = append(elsewhere);
  for (const one of opened) for (const { port: of, client: member } of one.masters) if (of === members[at]!.port) member?.destroy();
  expect([await append(), await underWay]).toEqual(["not_stored", "unknown"]);
  members[other]!.thaw();
  await until("it is stored again", async () => (await append()) === "stored" && (await append(elsewhere)) === "stored");
});

type Members = RedisCluster["nodes"];

/** Which member has the slot of a channel. */
async function ownerOf(members: Members, channel: string): Promise<number> {
  const slot = Number(await members[0]!.ask.cluster("KEYSLOT", channel));
  const all = (await members[0]!.ask.cluster("SLOTS")) as unknown as [number, number, [string, number]][];
  const [, , [, port]] = all.find(([from, to]) => from <= slot && slot <= to)!;
  return members.findIndex((one) => one.port === port);
}

/** Makes a member's word count most, and waits until all know. */
async function lead(members: Members, at: number): Promise<void> {
  const { ask } = members[at]!;
  const id = String(await ask.cluster("MYID"));
  await until("its word counts most", async () => {
    await ask.call("CLUSTER", "BUMPEPOCH");
    const known = await Promise.all(members.map((one) => one.ask.cluster("NODES")));
    return known.every((nodes) => leads(id, String(nodes)));
  });
}

/** The slot of a channel goes from one member to another. The third does not know of it before it is told: so a library that asks it is told what was. */
async function move(members: Members, channel: string, at: number, to: number): Promise<() => Promise<unknown>> {
  const slot = Number(await members[0]!.ask.cluster("KEYSLOT", channel));
  const ids = await Promise.all(members.map(({ ask }) => ask.cluster("MYID")));
  const [source, target] = [members[at]!, members[to]!];
  await target.ask.cluster("SETSLOT", slot, "IMPORTING", ids[at] as string);
  await source.ask.cluster("SETSLOT", slot, "MIGRATING", ids[to] as string);
  const keys = (await source.ask.cluster("GETKEYSINSLOT", slot, 100)) as string[];
  for (const key of keys) await source.ask.call("MIGRATE", "127.0.0.1", target.port, key, 0, 10_000);
  const tell = ({ ask }: Members[number]) => ask.cluster("SETSLOT", slot, "NODE", ids[to] as string);
  await tell(target);
  await tell(source);
  return () => tell(members[(to + 1) % members.length]!);
}
