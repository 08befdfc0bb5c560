import { createServer } from "node:http";
import { disk } from "../../src/disk.ts";
import { memory, type ThroughlineOptions, throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";

/*
 * A server as an application makes it with the library, for what `throughline dev` cannot be asked: other hosts than loopback, other limits,
 * tokens. Run as: node server-child.mjs <Serving as JSON>. A signal ends it.
 */
export interface Serving {
  readonly host: string;
  readonly port: number;
  /** Left out: in memory. */
  readonly data?: string;
  readonly limits?: ThroughlineOptions["limits"];
  /** A token is the time in milliseconds since 1970 at which it expires; `at the door`: and nobody looks at it again, as a negative control. */
  readonly tokens?: boolean | "at the door";
}

const { host, port, data, limits = {}, tokens = false } = JSON.parse(process.argv[2] ?? "{}") as Serving;

const tl = throughline({
  engine: data === undefined ? memory() : disk(data),
  limits,
  authorize: ({ identity }) => !tokens || identity.id !== "",
  ...(tokens
    ? {
        authenticate({ token }) {
          const expiresAt = Number(token);
          if (token === null || expiresAt <= Date.now()) return false;
          return tokens === "at the door" ? { id: "someone" } : { id: "someone", expiresAt };
        },
      }
    : {}),
});
await tl.open();
const server = createServer();
attach(tl, server);
server.listen(port, host, () => console.log("ready: Ctrl-C stops it"));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    server.close();
    await tl.close();
    process.exit(0);
  });
}
