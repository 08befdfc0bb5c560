import { decodeBinary, encodeBase64 } from "./bytes.ts";
import type { Environment } from "./environment.ts";
import type { Pipe, PipeHost } from "./pipe.ts";
import type { WebSocketLike } from "./system.ts";
import { systemWebSocket } from "./system.ts";

/** Frames on a WebSocket (PROTOCOL.md §5). */
export function openWebSocket(host: PipeHost, { http, WebSocket: own }: Environment): Pipe {
  const { signal } = host;
  let socket: WebSocketLike | undefined;
  // One that has ended and not said so yet would complain on the console
  const send = (message: string): unknown => socket?.readyState === 1 && socket.send(message);
  const pipe: Pipe = { send, leave: (channel) => send(JSON.stringify({ type: "unsubscribe", channel })) };

  async function open(): Promise<void> {
    const Socket = own ?? systemWebSocket();
    const token = await http.token();
    if (signal.aborted) return;
    const protocols = ["throughline"];
    if (token) {
      // A page can name subprotocols only, of the characters of a token (RFC 6455 §4.1): hence base64url without padding
      const base64 = encodeBase64(new TextEncoder().encode(token));
      protocols.push(`throughline.bearer.${base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}`);
    }
    socket = new Socket(`${http.base().replace(/^http/, "ws")}/socket`, protocols);
    signal.onabort = () => socket?.close();
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      pipe.begin = (asks) => {
        for (const { name, id, from } of asks) send(JSON.stringify({ type: "subscribe", channel: name, id, from }));
      };
      host.plan();
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      host.heard();
      try {
        host.frame(typeof data === "string" ? JSON.parse(data) : decodeBinary(data));
      } catch (error) {
        host.end(error);
      }
    };
    // Says nothing that `close`, which follows it, does not say; without a listener `ws` would throw
    socket.onerror = () => {};
    socket.onclose = () => host.end();
  }

  open().catch(host.end);
  return pipe;
}
