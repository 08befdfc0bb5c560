import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { freeze } from "./freeze.ts";
import { type Ground, hasEnded } from "./ground.ts";
import { Kept } from "./kept.ts";
import { addressOf, type Broker } from "./node-faults.ts";

const PORT = 4222;
/** Of a busy machine, for what takes a moment. */
const PATIENCE_MS = 30_000;

/** The library by which its operator asks it. */
const CLIENT = createRequire(import.meta.url).resolve("@nats-io/transport-node");

const ROUTE_PORT = 6222;
const HEALTH_PORT = 8222;
export const MEMBERS = [1, 2, 3] as const;

export interface NatsBrokerOptions {
  /** Where its files are. Default: the ground's own directory. */
  readonly directory?: string;
  /** Further lines of that block of its configuration. */
  readonly jetstream?: string;
  /** One of three that agree, each at an address of its own. Default: it is alone, and at the address of each node. */
  readonly member?: (typeof MEMBERS)[number];
}

/** A nats-server with JetStream in a ground's network. What it acknowledged is in the machine's memory at least: a kill takes nothing, a power cut may. */
export class NatsBroker implements Broker {
  readonly name = "NATS";
  readonly port = PORT;
  readonly addressOf = addressOf;
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #jetstream: string;
  readonly #member: number | null;
  #child: ChildProcess | null = null;
  #said = "";
  /** How often it died of a fault of its own. */
  deaths = 0;

  constructor(ground: Ground, { directory = ground.ledger.home, jetstream = "", member }: NatsBrokerOptions = {}) {
    this.#ground = ground;
    this.#directory = directory;
    this.#jetstream = jetstream;
    this.#member = member ?? null;
  }

  static urlOf(node: number): string {
    return `nats://${addressOf(node)}:${PORT}`;
  }

  static hostOf(member: number): string {
    return `127.0.3.${member}`;
  }

  get #store(): string {
    return join(this.#directory, "nats");
  }

  /** What it keeps: to be altered while it is ended, copied while it is frozen. */
  get kept(): Kept {
    return new Kept(this.#store);
  }

  async start(): Promise<void> {
    const config = join(this.#ground.ledger.home, `nats-${this.#member ?? "alone"}.conf`);
    const jetstream = `store_dir: "${this.#store}"\n${this.#jetstream}`;
    writeFileSync(config, `port: ${PORT}\njetstream {\n${jetstream}\n}\n${this.#lines().join("\n")}\n`);
    const child = this.#ground.start([need("nats-server"), "-c", config]);
    this.#child = child;
    this.#said = "";
    child.stdout?.resume();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
    // Whoever watches over it starts it again, if it dies of a fault of its own
    child.once("exit", () => {
      if (this.#child !== child || !this.#said.includes("panic: ")) return;
      this.deaths++;
      void this.start();
    });
    await until("NATS is ready", () => this.#said.includes("Server is ready") || hasEnded(child), PATIENCE_MS);
  }

  /** Waits until the members know who leads them. */
  async isLed(): Promise<void> {
    await until("there is a leader", () => this.#said.includes("metadata leader"), PATIENCE_MS);
  }

  /** Waits until a member has all that the others have. */
  async isCurrent(): Promise<void> {
    const ask = `fetch("http://${NatsBroker.hostOf(this.#member ?? 0)}:${HEALTH_PORT}/healthz").then(({ ok }) => ok, () => false)`;
    const script = `(async () => { while (!(await ${ask})) await new Promise((resolve) => setTimeout(resolve, 50)); })()`;
    const child = this.#ground.start([process.execPath, "-e", script]);
    await until("it has all again", () => hasEnded(child), PATIENCE_MS);
  }

  #lines(): readonly string[] {
    if (this.#member === null) return ['host: "0.0.0.0"'];
    const host = NatsBroker.hostOf(this.#member);
    const routes = MEMBERS.map((member) => `nats-route://${NatsBroker.hostOf(member)}:${ROUTE_PORT}`);
    const cluster = `cluster { name: line, listen: "${host}:${ROUTE_PORT}", routes: [${routes.join(", ")}] }`;
    return [`host: "${host}"`, `server_name: n${this.#member}`, `http: "${host}:${HEALTH_PORT}"`, cluster];
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    child.kill(signal);
    await until("NATS is gone", () => hasEnded(child));
  }

  async crash(): Promise<void> {
    await this.stop("SIGKILL");
    await this.start();
  }

  /** Runs this on a connection of an operator's, `api` asking JetStream, and gives what it returns. */
  async ask<Answer>(body: string): Promise<Answer> {
    const script = `(async () => {
      const connection = await require(${JSON.stringify(CLIENT)}).connect({ servers: "${addressOf(1)}:${PORT}" });
      const api = async (what, body = {}) => (await connection.request("$JS.API." + what, JSON.stringify(body))).json();
      const answer = await (async () => { ${body} })();
      await connection.close();
      console.log(JSON.stringify(answer ?? null));
    })()`;
    const child = this.#ground.start([process.execPath, "-e", script]);
    let [out, err] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    await until("NATS has answered its operator", () => hasEnded(child) && out.endsWith("\n"), PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${error.message} ${err}`);
    });
    return JSON.parse(out) as Answer;
  }

  freeze(): Promise<void> {
    return freeze(this.#child);
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }
}
