import { expect, test } from "vitest";
import { type Log, memory, ThroughlineError } from "../../src/index.ts";
import { nodeHost, run } from "../adapters/host.ts";
import { JSON_TYPE } from "../adapters/requests.ts";
import { FrameClient } from "../support/raw-clients.ts";

const SECRET = "connect ECONNREFUSED 10.1.2.3:6379 /var/lib/secret";

/** An engine in memory, one of whose verbs fails. */
function failing(verb: "open" | "read" | "append" | "remove", error: Error): Log {
  const log = memory();
  return new Proxy(log, {
    get(target, name) {
      const own = target[name as keyof Log];
      if (name === verb) return () => Promise.reject(error);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}

const CALLS: readonly (readonly [path: string, init: RequestInit])[] = [
  ["/channels/a?wait=0", {}],
  ["/channels/a", { headers: { accept: "application/json" } }],
  ["/channels/a", {}],
  ["/channels/a", { method: "POST", body: "hello" }],
  ["/channels/a", { method: "DELETE" }],
  ["/publish", { method: "POST", headers: JSON_TYPE, body: '{"channel":"a","data":1}' }],
  ["/events?channel=a", {}],
  ["/events?wait=0", { method: "POST", headers: JSON_TYPE, body: '{"channels":[{"name":"a"}]}' }],
  ["/presence/a", { method: "POST", headers: JSON_TYPE, body: '{"client":"me"}' }],
  ["/readyz", {}],
];

for (const [verb, code] of [
  ["open", "internal"],
  ["read", "internal"],
  ["read", "overloaded"],
  ["append", "not_stored"],
  ["append", "unknown"],
  ["remove", "not_stored"],
] as const) {
  test(`what an engine says of its own faults is not for strangers: ${verb}, ${code}`, async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { engine: failing(verb, new ThroughlineError(code, SECRET)) });
    const codes: string[] = [];
    for (const [path, init] of CALLS) {
      const stop = new AbortController();
      const response = await ask(path, { ...init, signal: stop.signal });
      // A stream that opens does not end
      const text = response.headers.get("content-type") === "text/event-stream" ? "" : await response.text();
      stop.abort();
      expect([path, text]).toEqual([path, expect.not.stringContaining("secret")]);
      codes.push(...(/"code":"(\w+)"/.exec(text)?.slice(1) ?? []));
    }
    expect(codes).toContain(code);
    const client = await FrameClient.open(socketUrl("/socket?channel=a"));
    client.send({ type: "publish", id: 1, channel: "a", data: 1 });
    client.send({ type: "ping" });
    for (let frame = await client.next(); frame["type"] !== "heartbeat"; frame = await client.next()) {
      expect(JSON.stringify(frame)).not.toContain("secret");
    }
    if (verb === "open") await expect(tl.open()).rejects.toThrow(SECRET);
    if (verb === "append") await expect(tl.channel("a").publish(1)).rejects.toMatchObject({ code, cause: { message: SECRET } });
  });
}
