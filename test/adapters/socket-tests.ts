import { expect, test } from "vitest";
import { FrameClient } from "../support/raw-clients.ts";
import { alone, type Host, run } from "./host.ts";

/** WebSockets, where the runtime has them. */
export function socketTests(host: Host): void {
  test("a WebSocket reads what its URL names, publishes and is answered", async () => {
    const { socketUrl, tl } = await run(host);
    const client = await FrameClient.open(socketUrl("/socket?channel=chat/lobby"));
    expect(await client.next()).toMatchObject({ type: "connected", heartbeatSeconds: 15 });
    expect(await client.next("subscribed")).toMatchObject({ channel: "chat/lobby" });
    client.send({ type: "publish", id: 7, channel: "chat/lobby", data: { n: 1 } });
    expect(await client.next("message")).toMatchObject({ channel: "chat/lobby", data: { n: 1 } });
    expect(await client.next("ack")).toMatchObject({ id: 7, level: "memory" });
    expect(tl.counts().byTransport.websocket).toBe(1);
    client.socket.close();
    expect(await client.closed).toMatchObject({ code: 1005 });
    await alone(tl);
  });

  test("the subprotocol throughline is selected, and brings a token", async () => {
    const { socketUrl } = await run(host, { authenticate: ({ token }) => (token === "gööd" ? { id: "ada" } : false) });
    const token = Buffer.from("gööd").toString("base64url");
    const client = await FrameClient.open(socketUrl("/socket"), { protocols: ["throughline", `throughline.bearer.${token}`] });
    expect(client.socket.protocol).toBe("throughline");
  });

  test("[D8] a WebSocket of a foreign origin or without permission is refused before it opens", async () => {
    const { socketUrl, tl } = await run(host, { authenticate: ({ token }) => (token === "good" ? { id: "ada" } : false) });
    await expect(FrameClient.open(socketUrl("/socket"), { headers: { origin: "https://evil.example" } })).rejects.toThrow(
      /^403 .*forbidden_origin/,
    );
    await expect(FrameClient.open(socketUrl("/socket"))).rejects.toThrow(/^401 .*unauthenticated/);
    expect(tl.counts().connections).toBe(0);
  });

  test("a WebSocket at another path is 404", async () => {
    const { socketUrl } = await run(host);
    await expect(FrameClient.open(socketUrl("/sockets"))).rejects.toThrow(/^404 .*not_found/);
  });

  test("a server that stops closes WebSockets with 1012 after bye", async () => {
    const { socketUrl, tl } = await run(host);
    const client = await FrameClient.open(socketUrl("/socket"));
    await tl.close();
    expect(await client.next("bye")).toMatchObject({ code: "restart" });
    expect(await client.closed).toEqual({ code: 1012, reason: "restart" });
  });
}
