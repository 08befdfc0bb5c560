import { decodeBinary, encodeBase64, encodeText } from "./bytes.ts";
import type { Environment } from "./environment.ts";
import type { Pipe, PipeHost } from "./pipe.ts";
import type { WebSocketLike } from "./system.ts";
import { systemWebSocket } from "./system.ts";

/** Frames on a WebSocket (PROTOCOL.md §5). */
export function openWebSocket(host: PipeHost, { http, WebSocket: own }: Environment): Pipe {
  let socket: WebSocketLike | undefined;
  let closed = false;

  const pipe: Required<Pipe> = {
    // One that has ended and not said so yet would complain on the console
    send: (message) => socket?.readyState === 1 && socket.send(message),
    begin(asks) {
      for (const { name, id, from } of asks) pipe.send(JSON.stringify({ type: "subscribe", channel: name, id, from }));
    },
    leave: (channel) => pipe.send(JSON.stringify({ type: "unsubscribe", channel })),
    close() {
      closed = true;
      socket?.close();
    },
  };

  async function open(): Promise<void> {
    const Socket = own ?? systemWebSocket();
    const token = await http.token();
    if (closed) return;
    const protocols = ["throughline"];
    // A page can name subprotocols only, of the characters of a token (RFC 6455 §4.1): hence base64url without padding
    if (token)
      protocols.push(`throughline.bearer.${encodeBase64(encodeText(token)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}`);
    socket = new Socket(`${http.base().replace(/^http/, "ws")}/socket`, protocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => pipe.begin(host.asks());
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
