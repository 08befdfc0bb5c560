import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { freeze } from "./freeze.ts";
import { type Ground, hasEnded } from "./ground.ts";
import { addressOf, type Broker } from "./node-faults.ts";

const PORT = 4222;

/** A nats-server with JetStream in a ground's network. What it acknowledged is in the machine's memory at least: a kill takes nothing, a power cut may. */
export class NatsBroker implements Broker {
  readonly name = "NATS";
  readonly port = PORT;
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #jetstream: string;
  #child: ChildProcess | null = null;

  /** Its files are in the ground's own directory, unless another is named; `jetstream`: further lines of that block of its configuration. */
  constructor(ground: Ground, { directory = ground.ledger.home, jetstream = "" } = {}) {
    this.#ground = ground;
    this.#directory = directory;
    this.#jetstream = jetstream;
  }

  static urlOf(node: number): string {
    return `nats://${addressOf(node)}:${PORT}`;
  }

  async start(): Promise<void> {
    const { home } = this.#ground.ledger;
    const config = join(home, "nats.conf");
    const jetstream = `store_dir: "${join(this.#directory, "nats")}"\n${this.#jetstream}`;
    writeFileSync(config, `host: "0.0.0.0"\nport: ${PORT}\njetstream {\n${jetstream}\n}\n`);
    const child = this.#ground.start([need("nats-server"), "-c", config]);
    this.#child = child;
    child.stdout?.resume();
    let isReady = false;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      isReady ||= text.includes("Server is ready");
    });
    await until("NATS is ready", () => isReady || hasEnded(child));
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill(signal);
    await until("NATS is gone", () => hasEnded(child));
  }

  async crash(): Promise<void> {
    await this.stop("SIGKILL");
    await this.start();
  }

  freeze(): Promise<void> {
    return freeze(this.#child);
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }
}
