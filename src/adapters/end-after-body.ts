import type { IncomingMessage, ServerResponse } from "node:http";

/** How much of a body that nobody wants is read and thrown away. Who sends more is cut off. */
export const DISCARD_BYTES_MAX = 8 * 1024 * 1024;
/** For how long it is, once its request is answered. Who is still sending then may lose the answer. */
const DISCARD_MS_MAX = 2_000;

/**
 * Ends an answer that needs no body of the request, or no more of it: at once if the request is whole, else when it is. What is sent to a connection that is
 * closed already is met by a reset, which takes the answer with it before a client has read it, or a proxy that reads when it has sent all (RFC 9112 §9.6).
 */
export function endAfterBody(req: IncomingMessage, res: ServerResponse, text: string): void {
  if (req.complete || !hasBody(req)) {
    res.end(text);
    return;
  }
  let bytes = 0;
  const end = (): void => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(end, DISCARD_MS_MAX);
  if (text === "") res.flushHeaders();
  else res.write(text);
  req.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARD_BYTES_MAX) req.destroy();
  });
  req.once("end", end);
  req.once("close", end);
  req.resume();
}

/** RFC 9112 §6. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}
