import { describe, expect } from "vitest";
import { connect } from "../../src/client.ts";
import type { Identity } from "../../src/index.ts";
import { ThroughlineError } from "../../src/index.ts";
import { demand } from "../support/http.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { byToken, LOBBY, promise, type Stage } from "../support/story.ts";

// biome-ignore lint/suspicious/noExplicitAny: each handler answers something else
type Asking = (channel: string, name: string, data: unknown) => Promise<any>;

/** Every way to ask, as ada. */
async function asking({ server, keep }: Stage): Promise<[way: string, ask: Asking][]> {
  const { url } = server;
  const socket = keep(await new SocketReader({ url, channels: [], token: "ada" }).open());
  const clients = (["sse", "websocket"] as const).map((transport) => {
    const client = keep(connect(url, { transport, token: "ada" }));
    client.on("error", () => undefined);
    return [`the client over ${transport}`, (channel, name, data) => client.channel(channel).request(name, data)] as [string, Asking];
  });
  return [
    [
      "POST",
      async (channel, name, data) =>
        (await demand(`${url}/requests/${channel}?name=${name}`, { method: "POST", token: "ada", body: { data } })).json,
    ],
    ["a frame", async (channel, name, data) => (await socket.ask({ type: "request", channel, name, data: { data } }))["data"]],
    ...clients.map(([way, ask]): [string, Asking] => [way, (channel, name, data) => ask(channel, name, { data })]),
  ];
}

const ONCE = { over: "one", on: "one", authenticate: byToken } as const;

describe("Requests", () => {
  promise("a request is answered by the application's handler of its channel and name, whichever way it comes", ONCE, async (stage) => {
    const inputs: { params: unknown; identity: Identity }[] = [];
    stage.server.tl.handle("chat/:room", "rename", (input) => {
      inputs.push(input);
      return { renamed: input.params["room"], to: (input.data as { data: unknown }).data };
    });
    for (const [way, ask] of await asking(stage)) {
      expect(await ask(LOBBY, "rename", "hall"), way).toEqual({ renamed: "lobby", to: "hall" });
      expect(inputs.pop(), way).toMatchObject({ channel: LOBBY, name: "rename", params: { room: "lobby" }, identity: { id: "ada" } });
    }
  });

  promise("the first handler that was registered and matches answers, until it is taken back", ONCE, async (stage) => {
    const takeBack = stage.server.tl.handle("chat/:room", "who", () => "first");
    stage.server.tl.handle("chat/lobby", "who", async () => "second");
    const ways = await asking(stage);
    for (const [way, ask] of ways) expect(await ask(LOBBY, "who", 1), way).toBe("first");
    takeBack();
    for (const [way, ask] of ways) expect(await ask(LOBBY, "who", 1), way).toBe("second");
  });

  promise("a handler that returns nothing answers null", ONCE, async (stage) => {
    stage.server.tl.handle(LOBBY, "nothing", () => undefined);
    for (const [way, ask] of await asking(stage)) expect(await ask(LOBBY, "nothing", 1), way).toBe(null);
  });

  promise("what nobody handles is refused with no_handler", ONCE, async (stage) => {
    stage.server.tl.handle("chat/:room", "known", () => 1);
    for (const [way, ask] of await asking(stage)) {
      await expect(ask(LOBBY, "unknown", 1), way).rejects.toMatchObject({ code: "no_handler" });
      await expect(ask("other/a/b", "known", 1), way).rejects.toMatchObject({ code: "no_handler" });
    }
  });

  promise("a handler that fails answers request_failed, and its text is for the operator alone", ONCE, async (stage) => {
    stage.server.tl.handle(LOBBY, "fail", () => {
      throw new Error("the password is 1234");
    });
    for (const [way, ask] of await asking(stage)) {
      const failed = await ask(LOBBY, "fail", 1).catch((error: ThroughlineError) => error);
      expect([way, failed.code, String(failed.message).includes("1234")]).toEqual([way, "request_failed", false]);
    }
    expect(stage.server.sentences.join()).toContain("the password is 1234");
  });

  promise("a handler that answers what JSON cannot hold has failed, and ends nothing", ONCE, async (stage) => {
    const circle: Record<string, unknown> = { secret: "of the operator" };
    circle["again"] = circle;
    const answers: Readonly<Record<string, unknown>> = { circle, count: 12n, act: () => "secret" };
    stage.server.tl.handle(LOBBY, "get", ({ data }) => answers[(data as { data: string }).data]);
    for (const [way, ask] of await asking(stage)) {
      for (const what of Object.keys(answers)) {
        const failed = await ask(LOBBY, "get", what).catch((error: ThroughlineError) => error);
        expect([way, what, failed.code, /secret|again/.test(failed.message)]).toEqual([way, what, "request_failed", false]);
      }
      expect(await ask(LOBBY, "get", "nothing"), way).toBe(null);
    }
    expect(stage.server.sentences).toHaveLength(3 * 4);
  });

  promise("what a handler throws on purpose, as a ThroughlineError, is told to the asker", ONCE, async (stage) => {
    stage.server.tl.handle(LOBBY, "refuse", () => {
      throw new ThroughlineError("forbidden", "Only its owner may rename a room.");
    });
    for (const [way, ask] of await asking(stage)) {
      const failed = await ask(LOBBY, "refuse", 1).catch((error: ThroughlineError) => error);
      expect([way, failed.code, failed.message]).toEqual([way, "forbidden", "Only its owner may rename a room."]);
    }
  });

  promise("an answer goes to the asker alone, and many at once each get their own", ONCE, async (stage) => {
    stage.server.tl.handle(LOBBY, "double", async ({ data }) => (data as { data: number }).data * 2);
    const bystander = await stage.connect({ over: "websocket", token: "eve" });
    const asked = (await asking(stage)).flatMap(([, ask]) => [1, 2, 3].map((n) => ask(LOBBY, "double", n)));
    expect(await Promise.all(asked)).toEqual(Array.from({ length: asked.length / 3 }, () => [2, 4, 6]).flat());
    const [sent] = await stage.publish(1);
    expect(await bystander.next(1)).toEqual([sent]);
  });
});
