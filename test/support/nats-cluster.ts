import { connect } from "@nats-io/transport-node";
import type { NatsConnect } from "../../src/nats.ts";
import { freePort } from "./free-port.ts";
import { NatsServer } from "./nats-server.ts";
import { until } from "./until.ts";

/** Three nats-servers that agree, on loopback. */
export class NatsCluster implements AsyncDisposable {
  readonly servers: readonly NatsServer[];

  private constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  static async start(): Promise<NatsCluster> {
    const routes = [await freePort(), await freePort(), await freePort()];
    const list = routes.map((port) => `nats-route://127.0.0.1:${port}`).join(", ");
    const servers = routes.map(
      (port, index) =>
        new NatsServer({ lines: [`server_name: n${index}`, `cluster { name: line, listen: "127.0.0.1:${port}", routes: [${list}] }`] }),
    );
    const cluster = new NatsCluster(servers);
    // A leader may be there before it knows of all
    const probe = { name: "probe", subjects: ["probe"], storage: "memory", num_replicas: 3 };
    const ask = (what: string, body?: object) => servers[0]!.ask<{ error?: object }>(what, body).catch(() => ({ error: {} }));
    await until("they agree", async () => (await ask("STREAM.CREATE.probe", probe)).error === undefined);
    await until("nothing is left of it", async () => (await ask("STREAM.DELETE.probe")).error === undefined);
    return cluster;
  }

  get connect(): NatsConnect {
    return () => connect({ servers: this.servers.map(({ port }) => `127.0.0.1:${port}`), timeout: 1_000 });
  }

  /** The server that leads a stream. */
  async leaderOf(stream: string): Promise<NatsServer> {
    for (const server of this.servers) {
      const { cluster } = await server
        .ask<{ cluster?: { leader?: string } }>(`STREAM.INFO.${stream}`)
        .catch(() => ({ cluster: undefined }));
      const leader = this.servers[Number(cluster?.leader?.slice(1))];
      if (leader !== undefined) return leader;
    }
    throw new Error(`Nobody leads ${stream}.`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server.stop();
  }
}
