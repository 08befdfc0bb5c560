import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CLIENT_CORE, endOf, SERVER_CORE, start } from "./child.js";

/** Everything that bench/ makes and does not keep: the compiled client, data directories, results of quick runs. Ignored by git. */
export const cacheDirectory = fileURLToPath(new URL("../.bench/", import.meta.url));
const source = fileURLToPath(new URL("loadgen.c", import.meta.url));
const binary = `${cacheDirectory}loadgen`;

/** Compiles the load client, unless that was done since its source last changed. */
export function compile() {
  if (existsSync(binary) && statSync(binary).mtimeMs > statSync(source).mtimeMs) return;
  if (process.platform !== "linux") throw new Error("The load client needs Linux (epoll, /proc, taskset).");
  for (const compiler of ["cc", "gcc", "clang"]) {
    const { error, status, stderr } = spawnSync(compiler, ["-O2", "-Wall", "-o", binary, source], { encoding: "utf8" });
    if (error?.code === "ENOENT") continue;
    if (status !== 0) throw new Error(`${compiler} could not compile bench/loadgen.c:\n${stderr}`);
    return;
  }
  throw new Error("The load client is written in C and no C compiler is here. On Debian and Ubuntu: apt-get install gcc libc6-dev.");
}

/** Runs the load client against a server and gives its row. `flags` are those in the head of loadgen.c; an undefined one is left out. */
export async function load(server, flags) {
  const args = ["-p", String(server.port), "-s", String(server.pid), "-C", String(SERVER_CORE), "-g"];
  for (const [flag, value] of Object.entries(flags)) if (value !== undefined) args.push(`-${flag}`, String(value));
  const child = start(CLIENT_CORE, binary, args);
  let out = "";
  let complaint = "";
  child.stdout.on("data", (bytes) => {
    out += bytes;
  });
  child.stderr.on("data", (bytes) => {
    complaint = (complaint + bytes).slice(-4000);
  });
  const { w = 1, d = 5, a = 0, D = 2, h = 0 } = flags;
  const { code, signal, error } = await endOf(child, 80 + Number(w) + Number(d) + Number(a) + Number(D) + Number(h), "The load client");
  if (error) throw error;
  if (!out) throw new Error(`The load client ended with ${signal ?? code} and without a row.\n${complaint}${server.complaint()}`);
  return { ...JSON.parse(out), ...(complaint ? { complaint } : {}) };
}
