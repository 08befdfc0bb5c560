import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The server has the first core to itself; the load client and this program share the second. */
export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;
/** Where several processes are the server, neither has one to itself. */
export const BOTH_CORES = "0,1";

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const living = new Set();

// Whatever ends this program ends its children, each by its own pid.
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(130));

/** Puts this program on the client's core, so that it never stands in the server's way. */
export function pinSelf() {
  const { error } = spawnSync("taskset", ["-cp", String(CLIENT_CORE), String(process.pid)]);
  if (error) throw new Error("taskset is missing. On Debian and Ubuntu: apt-get install util-linux.");
}

/** Starts a program on one core. `taskset` becomes the program, so its pid is the program's. */
export function start(core, command, args, options = {}) {
  const child = spawn("taskset", ["-c", String(core), command, ...args], { stdio: ["ignore", "pipe", "pipe"], ...options });
  living.add(child);
  child.ended = new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  }).finally(() => living.delete(child));
  return child;
}

/** Asks a child to end, and makes it end after `graceMs`. */
export async function stop(child, graceMs = 2000) {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await child.ended;
  clearTimeout(timer);
}

/** The child's end, or an error once it has run for too long. */
export async function endOf(child, secondsMax, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not end within ${secondsMax} s.`)), secondsMax * 1000);
  });
  try {
    return await Promise.race([child.ended, late]);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs one of the programs beside this file to its end and gives the line of JSON that it says: on the server's core, since it stands for a server,
 * unless another is named.
 */
export async function readOf(file, { core = SERVER_CORE, env = {}, words = [], secondsMax }) {
  const texts = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)]));
  const child = start(core, process.execPath, [here(file), ...words], { env: { ...process.env, ...texts } });
  let out = "";
  let complaint = "";
  child.stdout.on("data", (bytes) => {
    out += bytes;
  });
  child.stderr.on("data", (bytes) => {
    complaint = (complaint + bytes).slice(-4000);
  });
  const { code, signal, error } = await endOf(child, secondsMax, file);
  if (error) throw error;
  if (code !== 0 || !out) throw new Error(`${file} ended with ${signal ?? code}.\n${complaint}`);
  return JSON.parse(out);
}

/**
 * Starts one of the servers beside this file and waits until it says that it is ready. `told(n)` gives the nth thing that it then tells
 * about itself (see report.js), or undefined if it is too busy to.
 */
export async function serve(file, env = {}, nodeFlags = [], core = SERVER_CORE) {
  const child = start(core, process.execPath, [...nodeFlags, here(file)], { env: { ...process.env, ...env } });
  const lines = [];
  let complaint = "";
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  child.stderr.on("data", (bytes) => {
    complaint = (complaint + bytes).slice(-4000);
  });
  const line = async (index, secondsMax) => {
    const until = Date.now() + secondsMax * 1000;
    while (lines.length <= index && child.exitCode === null && Date.now() < until) await sleep(10);
    return lines.length > index ? JSON.parse(lines[index]) : undefined;
  };
  const first = await line(0, 15);
  if (first === undefined) {
    await stop(child);
    throw new Error(`${file} did not start.\n${complaint}`);
  }
  return { pid: child.pid, ...first.ready, told: (n) => line(n, 5), complaint: () => complaint, stop: () => stop(child) };
}
