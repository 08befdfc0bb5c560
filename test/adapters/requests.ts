export const LOBBY = "/channels/chat/lobby";
export const JSON_TYPE = { "content-type": "application/json" };
/** The head of every event stream (PROTOCOL.md §4.1). */
export const STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
  vary: "Accept, Origin",
};

/** RFC 6455 §4.1. */
export const HANDSHAKE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
] as const;
