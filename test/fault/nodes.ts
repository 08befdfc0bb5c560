import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { BALANCERS, type Balancer } from "./balancers.ts";
import { BIN, BUILT } from "./built.ts";
import { freeze } from "./freeze.ts";
import { type Ground, hasEnded, PORT } from "./ground.ts";
import type { BrokerOptions, Serving } from "./server-child.ts";

/** Servers on one broker, counted from 1, and a proxy before them: a seed has HAProxy, and another nginx. */
export class Nodes {
  readonly count: number;
  readonly #ground: Ground;
  readonly #urlOf: (node: number) => string;
  readonly #brokerOf: (node: number) => BrokerOptions;
  readonly #servers = new Map<number, ChildProcess>();
  readonly #balancer: Balancer;
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
    this.#balancer = BALANCERS[Math.floor(ground.random.fraction() * BALANCERS.length)]!;
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

  /** Those that have not ended. */
  get living(): number {
    return [...this.#servers.values()].filter((server) => !hasEnded(server)).length;
  }

  /** While all of them stand still something is done. What they were answered before, they hear after it. */
  async meanwhile(act: () => unknown): Promise<void> {
    for (const server of this.#servers.values()) await freeze(server);
    await act();
    for (const server of this.#servers.values()) server.kill("SIGCONT");
  }

  /** Nothing can be stored: waits until each says that it is not ready; they live. */
  async areUnready(): Promise<void> {
    for (let node = 1; node <= this.count; node++) {
      const says = () => this.#ground.health(Nodes.portOf(node));
      await until(`node ${node} is not ready`, async () => isDeepStrictEqual(await says(), { live: true, ready: "not_ready" }));
    }
  }

  signal(node: number, signal: NodeJS.Signals): void {
    this.#servers.get(node)?.kill(signal);
  }

  beginProxy(): void {
    const { home } = this.#ground.ledger;
    const { program, words, configuration } = this.#balancer;
    const path = join(home, `${program}.conf`);
    const ports = Array.from({ length: this.count }, (_, index) => Nodes.portOf(index + 1));
    writeFileSync(path, configuration(PORT, ports, home));
    this.#proxy = this.#ground.start([need(program), ...words(path)]);
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
