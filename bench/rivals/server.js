// Socket.IO with one of its Redis adapters, on a free port of loopback, set up as its documents say. Everybody who asks for a room is in
// it; what a client sends as `publish` is emitted to all who are.
//
//   ADAPTER=redis-adapter|redis-streams-adapter   REDIS_PORT
import http from "node:http";
import { createAdapter as redisAdapter } from "@socket.io/redis-adapter";
import { createAdapter as streamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { report } from "../report.js";

const { ADAPTER, REDIS_PORT } = process.env;

const client = await createClient({ url: `redis://127.0.0.1:${REDIS_PORT}` }).connect();

async function adapter() {
  if (ADAPTER === "redis-streams-adapter") return streamsAdapter(client);
  return redisAdapter(client, await client.duplicate().connect());
}

const server = http.createServer();
const io = new Server(server, { adapter: await adapter(), transports: ["websocket"], serveClient: false });
io.on("connection", (socket) => {
  const { room } = socket.handshake.query;
  if (room) socket.join(room);
  socket.on("publish", (to, payload) => io.to(to).emit("message", payload));
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => report({ port: server.address().port }));
