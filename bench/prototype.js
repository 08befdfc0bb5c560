// The bare prototype that the product is measured against: the least that Node can do to fan a message out. It knows no channel, log,
// position, permission or slow reader. It is pinned here so that the yardstick does not move with the product.
//
//   TRANSPORT=ws|sse   BATCH=0: each message at once. BATCH=5: at once when idle, then not before 5 ms after the last flush.
import { createHash } from "node:crypto";
import http from "node:http";
import { ingest } from "./ingest.js";
import { report } from "./report.js";

const { TRANSPORT = "ws", BATCH = "5" } = process.env;
const windowMs = Number(BATCH);
const subscribers = [];

function add(socket) {
  const subscriber = { socket, index: subscribers.length };
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("close", () => {
    const last = subscribers.pop();
    if (last === subscriber) return;
    subscribers[subscriber.index] = last;
    last.index = subscriber.index;
  });
  socket.on("data", () => {});
  subscribers.push(subscriber);
}

const server = http.createServer();
server.keepAliveTimeout = server.requestTimeout = server.headersTimeout = server.timeout = 0;

if (TRANSPORT === "ws") {
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    add(socket);
  });
} else {
  server.on("request", ({ socket }, response) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
    // Request, response and parser are let go of through Node's internals. A product must not do this; a yardstick may.
    response.detachSocket(socket);
    socket.removeAllListeners();
    const { parser } = socket;
    if (parser) {
      parser.unconsume?.();
      socket.parser = parser.socket = parser.incoming = parser.outgoing = null;
      parser.remove?.();
      parser.free?.();
    }
    add(socket);
  });
}

const before = Buffer.from("data: ");
const after = Buffer.from("\n\n");
function encode(payload) {
  if (TRANSPORT !== "ws") return Buffer.concat([before, payload, after]);
  const length = payload.length;
  const head = length < 126 ? Buffer.from([0x81, length]) : Buffer.from([0x81, 126, length >> 8, length & 255]);
  return Buffer.concat([head, payload]);
}

function fanOut(bytes) {
  for (let i = 0; i < subscribers.length; i++) subscribers[i].socket.write(bytes);
}

let pending = [];
let scheduled = false;
let flushedAt = 0;
function flush() {
  scheduled = false;
  const bytes = pending.length === 1 ? pending[0] : Buffer.concat(pending);
  pending = [];
  fanOut(bytes);
  flushedAt = performance.now();
}
function publish(line) {
  if (!windowMs) return fanOut(encode(line));
  pending.push(encode(line));
  if (scheduled) return;
  scheduled = true;
  const wait = windowMs - (performance.now() - flushedAt);
  if (wait <= 0) setImmediate(flush);
  else setTimeout(flush, Math.max(1, wait));
}

const publishPort = await ingest(publish);
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => report({ port: server.address().port, publishPort }));
