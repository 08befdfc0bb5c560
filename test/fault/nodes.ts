import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { BIN, BUILT } from "./built.ts";
import { type Ground, hasEnded, PORT } from "./ground.ts";
import type { BrokerOptions, Serving } from "./server-child.ts";

const HAPROXY = `
global
  hard-stop-after 1s
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  retries 3
  option redispatch 1
listen nodes
  bind 127.0.0.1:${PORT}
  balance roundrobin
`;

/** Servers on one broker, counted from 1, and a HAProxy before them, which gives each connection to the next of them. */
export class Nodes {
  readonly count: number;
  readonly #ground: Ground;
  readonly #urlOf: (node: number) => string;
  readonly #brokerOf: (node: number) => BrokerOptions;
  readonly #servers = new Map<number, ChildProcess>();
  #proxy: ChildProcess | null = null;

  /** With what `throughline dev` cannot be told of a broker, the nodes are the library's own server. */
  constructor(
    ground: Ground,
    count: number,
    urlOf: (node: number) => string,
    broker: BrokerOptions | ((node: number) => BrokerOptions) = {},
  ) {
    this.#ground = ground;
    this.count = count;
    this.#urlOf = urlOf;
    this.#brokerOf = typeof broker === "function" ? broker : () => broker;
  }

  static portOf(node: number): number {
    return PORT + node;
  }

  async begin(): Promise<void> {
    for (let node = 1; node <= this.count; node++) await this.serve(node);
    this.beginProxy();
  }

  /** Starts a node. */
  async serve(node: number): Promise<void> {
    const server = this.#ground.launch([process.execPath, "--import", join(BUILT, "probe-child.mjs"), ...this.#programOf(node)]);
    this.#servers.set(node, server);
    if (!(await this.#ground.ready(server))) throw new Error(`Node ${node} does not serve: ${this.#ground.err}`);
  }

  #programOf(node: number): readonly string[] {
    const [port, url] = [Nodes.portOf(node), this.#urlOf(node)];
    const broker = this.#brokerOf(node);
    if (Object.keys(broker).length === 0) return [BIN, "dev", "--port", String(port), "--engine", url];
    const serving: Serving = { host: "127.0.0.1", port, broker: { url, ...broker } };
    return [join(BUILT, "server-child.mjs"), JSON.stringify(serving)];
  }

  /** Ends a node by a signal, and waits until it is gone. */
  async stop(node: number, signal: NodeJS.Signals): Promise<void> {
    const server = this.#servers.get(node);
    if (server === undefined) return;
    server.kill(signal);
    await until(`node ${node} is gone`, () => hasEnded(server));
  }

  signal(node: number, signal: NodeJS.Signals): void {
    this.#servers.get(node)?.kill(signal);
  }

  beginProxy(): void {
    const path = join(this.#ground.ledger.home, "haproxy.cfg");
    const servers = Array.from({ length: this.count }, (_, index) => `  server n${index + 1} 127.0.0.1:${Nodes.portOf(index + 1)}\n`);
    writeFileSync(path, HAPROXY + servers.join(""));
    this.#proxy = this.#ground.start([need("haproxy"), "-db", "-f", path]);
    this.#proxy.stdout?.resume();
  }

  /** The proxy dies, and is started again. */
  async crashProxy(): Promise<void> {
    const proxy = this.#proxy;
    if (proxy === null) return;
    proxy.kill("SIGKILL");
    await until("the proxy is gone", () => hasEnded(proxy));
    this.beginProxy();
  }
}
