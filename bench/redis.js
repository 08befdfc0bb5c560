import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import net from "node:net";
import { createInterface } from "node:readline";
import { explain, find } from "../scripts/need.js";
import { CLIENT_CORE, start, stop } from "./child.js";
import { cacheDirectory } from "./client.js";

let directories = 0;

/** A Redis of a run's own on loopback, on the core of the load client. It keeps nothing on disk unless it `appends`: then it syncs every second. */
export async function serveRedis({ appends = false } = {}) {
  const program = find("redis-server");
  if (program === null) throw new Error(explain("redis-server"));
  const directory = `${cacheDirectory}redis-${process.pid}-${directories++}`;
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const settings = { port, bind: "127.0.0.1", dir: directory, save: "", appendonly: appends ? "yes" : "no", appendfsync: "everysec" };
  const child = start(
    CLIENT_CORE,
    program,
    Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
  );
  const end = async () => {
    await stop(child);
    rmSync(directory, { recursive: true, force: true });
  };
  let told = "";
  child.stderr.resume();
  const stands = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      told = `${told}${line}\n`.slice(-4000);
      if (line.includes("Ready to accept connections")) resolve(true);
    });
  });
  if (await Promise.race([stands, child.ended.then(() => false)])) return { port, pid: child.pid, stop: end };
  await end();
  throw new Error(`redis-server did not start.\n${told}`);
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
