import { describe, expect, test } from "vitest";
import { codeOf, everything, follow, LOBBY, natsNodes, text } from "../support/brokers.ts";
import { NatsServer } from "../support/nats-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

/** A nats-server that lets everybody in as a user of such permissions. */
function serverFor(permissions: string): NatsServer {
  return new NatsServer({ lines: linesFor(permissions) });
}

function linesFor(permissions: string): string[] {
  return [`authorization { users: [{ user: a, password: a, permissions: { ${permissions} } }] }`, "no_auth_user: a"];
}

const without = (operation: "publish" | "subscribe", subject: string) => serverFor(`${operation}: { deny: ["${subject}"] }`);

describe("A user of NATS who may not do all", () => {
  test.each([
    ["publish", "$JS.API.INFO"],
    ["publish", "$JS.API.STREAM.INFO.>"],
    ["publish", "$JS.API.STREAM.CREATE.>"],
    ["publish", "$JS.API.STREAM.MSG.GET.>"],
    ["publish", "$JS.API.STREAM.MSG.GET.throughline-fence"],
    ["publish", "$JS.API.STREAM.MSG.DELETE.>"],
    ["publish", "$JS.API.CONSUMER.CREATE.>"],
    ["publish", "$JS.API.CONSUMER.MSG.NEXT.>"],
    ["publish", "throughline.*.log.>"],
    ["publish", "throughline.*.keys.>"],
    ["publish", "throughline.fence"],
    ["subscribe", "_INBOX.>"],
  ] as const)("[D4] is refused at the start, and told what is lacking: %s %s", async (operation, subject) => {
    await using server = without(operation, subject);
    await using nodes = natsNodes(server);
    const prefix = subject.replace(/[*>].*/, "");
    await expect(nodes.open()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^NATS does not let this user do all that the engine asks: .*docs\/nats\.md lists/),
      cause: { message: expect.stringContaining(prefix) },
    });
  });

  test.each([
    ["publish", "$JS.API.STREAM.PURGE.>", /not deleted/],
    ["publish", "throughline.sweep", /not deleted/],
    ["subscribe", "throughline.*.told.>", /seconds late/],
    ["publish", "throughline.*.told.>", /do not reach other nodes/],
    ["subscribe", "throughline.turns", /longer way/],
  ] as const)("is served without what can be done without, and the operator is told: %s %s", async (operation, subject, effect) => {
    await using server = without(operation, subject);
    await using nodes = natsNodes(server);
    const { log, sentences } = await nodes.open();
    expect(sentences.filter((sentence) => effect.test(sentence))).toEqual([expect.stringContaining(`"${subject.replace(/[*>].*/, "")}`)]);
    await log.append(LOBBY, [text("a", "a")]);
    expect([(await everything(log)).entries.length, await log.ready?.()]).toEqual([1, null]);
  });

  test("[D4] is told at once that a message of his was not stored, where he may not write to that channel", async () => {
    await using server = without("publish", "throughline.*.log.secret");
    await using nodes = natsNodes(server);
    const { log } = await nodes.open();
    const refused = log.append("secret", [text("a")]);
    await expect(refused).rejects.toMatchObject({ code: "not_stored", message: expect.stringContaining("Permissions Violation") });
    expect(await codeOf(log.append(LOBBY, [text("a")]))).toBe("stored");
  });

  test.each([
    ["throughline.*.log.>", "NATS refuses to be written."],
    ["$JS.API.STREAM.MSG.GET.>", "NATS refuses to be read."],
  ])("[D4] is not ready any more once it may not do what it could: %s", async (subject, reason) => {
    await using server = serverFor("");
    await using nodes = natsNodes(server);
    const { log } = await nodes.open();
    expect(await log.ready?.()).toBe(null);
    server.reload(linesFor(`publish: { deny: ["${subject}"] }`));
    await until("it says so", async () => (await log.ready?.()) === reason);
    server.reload(linesFor(""));
    await until("it is ready again", async () => (await log.ready?.()) === null);
    expect(await codeOf(log.append(LOBBY, [text("a")]))).toBe("stored");
  });

  test("needs no more than docs/nats.md lists", async () => {
    const api = ["INFO", ...["INFO", "CREATE", "PURGE", "MSG.GET", "MSG.DELETE"].map((what) => `STREAM.${what}.*`)];
    const consumer = ["CONSUMER.CREATE.*", "CONSUMER.MSG.NEXT.*.*", "CONSUMER.DELETE.*.*"];
    const publish = [...[...api, ...consumer].map((what) => `$JS.API.${what}`), "throughline.>"];
    const subscribe = ["_INBOX.>", "throughline.*.told.>", "throughline.turns"];
    await using server = serverFor(`publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)}`);
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ retain: { countMax: 100 } }), await nodes.open({ retain: { countMax: 100 } })];
    expect(a.sentences.filter((sentence) => /let this user/.test(sentence))).toEqual([]);
    const told = await follow(b.log);
    for (const n of numbers(600)) await a.log.append(LOBBY, [text(String(n), String(n))]);
    await until("it was told", () => told.at(-1) === "600");
    expect((await everything(b.log)).entries).toHaveLength(100);
    expect((await b.log.append(LOBBY, [text("1", "1")]))[0]?.type).toBe("duplicate");
    await a.log.remove?.(LOBBY);
    expect((await everything(b.log)).entries).toEqual([]);
  });
});
