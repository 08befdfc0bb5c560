import { expect, test } from "vitest";
import type { Environment } from "./environment.ts";
import type { PipeHost } from "./pipe.ts";
import type { WebSocketLike } from "./system.ts";
import { openWebSocket } from "./websocket-pipe.ts";

test("a socket that has ended and not said so yet, as when a page wakes up, is sent nothing: browsers would complain on the console", async () => {
  const sent: string[] = [];
  let socket: (WebSocketLike & { readyState: number }) | undefined;
  class OwnSocket implements WebSocketLike {
    binaryType = "";
    readyState = 1;
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;
    constructor() {
      socket = this;
    }
    send(data: string): void {
      sent.push(data);
    }
    close(): void {}
  }
  const http = { base: () => "http://fake", token: async () => undefined };
  const pipe = openWebSocket(
    { signal: new AbortController().signal } as PipeHost,
    { http, WebSocket: OwnSocket } as unknown as Environment,
  );
  await Promise.resolve();
  await Promise.resolve();
  pipe.send!("before");
  socket!.readyState = 3;
  pipe.send!("after");
  expect(sent).toEqual(["before"]);
});
