import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { type Ground, hasEnded } from "./ground.ts";
import { addressOf, type Broker } from "./node-faults.ts";

const PORT = 4222;

/** A nats-server with JetStream in a ground's network. What it acknowledged is in the machine's memory at least: a kill takes nothing, a power cut may. */
export class NatsBroker implements Broker {
  readonly name = "NATS";
  readonly port = PORT;
  readonly #ground: Ground;
  #child: ChildProcess | null = null;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  static urlOf(node: number): string {
    return `nats://${addressOf(node)}:${PORT}`;
  }

  async start(): Promise<void> {
    const { home } = this.#ground.ledger;
    const config = join(home, "nats.conf");
    writeFileSync(config, `host: "0.0.0.0"\nport: ${PORT}\njetstream { store_dir: "${join(home, "nats")}" }\n`);
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

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }
}
