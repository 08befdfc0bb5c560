// `throughline dev` from the build, on a free port of loopback.
//
//   DIRECTORY: where it keeps its data   WORKERS: its --workers, or nothing
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const { DIRECTORY, WORKERS } = process.env;
const program = fileURLToPath(new URL("../bin/throughline.js", import.meta.url));
const words = ["dev", "--port", "0", "--data", DIRECTORY, ...(WORKERS ? ["--workers", WORKERS] : [])];
const child = spawn(process.execPath, [program, ...words], { stdio: ["ignore", "pipe", "inherit"] });
process.once("SIGTERM", () => child.kill("SIGTERM"));
child.once("exit", (code) => process.exit(code ?? 1));

let out = "";
child.stdout.on("data", (bytes) => {
  const wasReady = out.includes("Ctrl-C");
  out += bytes;
  if (wasReady || !out.includes("Ctrl-C")) return;
  const port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(out)[1]);
  console.log(JSON.stringify({ ready: { port, pids: [child.pid, ...childrenOf(child.pid)] } }));
});

/** Field 4 of /proc/<pid>/stat (proc(5)) is the parent, counted behind the name, which may hold spaces. */
function childrenOf(parent) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
      } catch {
        return false; // it has gone meanwhile
      }
    });
}
