import { expect, test } from "vitest";
import { ThroughlineError } from "../../src/index.ts";
import { nodeHost, run } from "../adapters/host.ts";
import { FrameClient } from "../support/raw-clients.ts";

// TypeScript knows the list, an application in JavaScript may not
const own = () => new ThroughlineError("not_on_the_list" as never, "the secret of the operator");

test("[D7] an error with a code that is not on the list is a fault of the server, each way in, and ends nothing", async () => {
  const authenticate = ({ token }: { token: string | null }) => {
    if (token === "bad") throw own();
    return null;
  };
  const { ask, sentences, socketUrl, tl } = await run(nodeHost, { authenticate });
  tl.handle("a", "fail", () => {
    throw own();
  });
  const headers = { authorization: "Bearer bad" };
  const refused = await ask("/channels/a", { headers });
  expect([refused.status, (await refused.json()).error.code]).toEqual([500, "internal"]);
  await expect(FrameClient.open(socketUrl("/socket"), { headers })).rejects.toThrow(/^500 .*internal/);
  const failed = await ask("/requests/a?name=fail", { method: "POST", headers: { "content-type": "application/json" }, body: "1" });
  expect([failed.status, (await failed.json()).error.code]).toEqual([500, "internal"]);
  const client = await FrameClient.open(socketUrl("/socket"));
  client.send({ type: "request", id: 1, channel: "a", name: "fail", data: 1 });
  expect(await client.next("error")).toMatchObject({ code: "internal", id: 1, message: expect.not.stringContaining("secret") });
  expect(sentences).toHaveLength(4);
  expect(sentences.join()).toContain("the secret of the operator");
});

test("[D7] whatever a hook, a handler or a listener throws, it ends nothing, and nobody waits in vain", async () => {
  const thrown = Object.create(null);
  const fails = (): never => {
    throw thrown;
  };
  const authenticate = ({ token }: { token: string | null }) => (token === "bad" ? fails() : null);
  const authorize = ({ channel }: { channel: string }) =>
    channel === "bad" ? fails() : Promise.resolve(channel === "later" ? fails() : true);
  const { ask, sentences, socketUrl, tl } = await run(nodeHost, { authenticate, authorize });
  tl.handle("a", "fail", fails);
  tl.on("connect", fails);
  tl.on("connect", async () => fails());
  const codes: string[] = [];
  for (const [path, init] of [
    ["/channels/a", { headers: { authorization: "Bearer bad" } }],
    ["/channels/bad", {}],
    ["/channels/later", { method: "POST", body: "1" }],
    ["/requests/a?name=fail", { method: "POST", headers: { "content-type": "application/json" }, body: "1" }],
  ] as const) {
    codes.push((await (await ask(path, init)).json()).error.code);
  }
  expect(codes).toEqual(["internal", "internal", "internal", "request_failed"]);
  const client = await FrameClient.open(socketUrl("/socket?channel=a"));
  expect(await client.next("live")).toBeDefined();
  expect(sentences).toHaveLength(6);
});

test("what a stranger sends does not draw on the operator's terminal, nor look like a line of its own", async () => {
  const authenticate = ({ token }: { token: string | null }) => {
    throw new Error(`no such token: ${token}`);
  };
  const { sentences, socketUrl } = await run(nodeHost, { authenticate });
  const token = Buffer.from("\u001b[2J\r\nthroughline: all is well\u009b").toString("base64url");
  await expect(FrameClient.open(socketUrl("/socket"), { protocols: [`throughline.bearer.${token}`] })).rejects.toThrow(/^500/);
  expect(sentences).toEqual([expect.stringContaining("no such token: \\x1b[2J\\x0d\\x0athroughline: all is well\\x9b")]);
});
