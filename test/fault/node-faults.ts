import type { Faults } from "./campaign.ts";
import { type Ground, PORT, pass } from "./ground.ts";
import type { Nodes } from "./nodes.ts";

/** What nodes have their channels in. It has an address for each of them, so that one rule cuts one of them off. */
export interface Broker {
  readonly name: string;
  readonly port: number;
  /** Where a node finds it. Of several servers: one of them, any. */
  addressOf(node: number): string;
  start(): Promise<void>;
  /** Ends it by a signal, and waits until it is gone. */
  stop(signal: NodeJS.Signals): Promise<void>;
  /** Killed, and started again. */
  crash(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): void;
}

/** Where a node, counted from 1, finds a broker that is one server. */
export function addressOf(node: number): string {
  return `127.0.2.${node}`;
}

/** What befalls nodes and the ways between, whatever their broker is. None of it takes anything that was acknowledged. */
export function nodeFaults(ground: Ground, nodes: Nodes, broker: Broker): Faults {
  const { name, port } = broker;
  const between = (min: number, max: number) => min + ground.random.fraction() * (max - min);
  const any = () => 1 + Math.floor(ground.random.fraction() * nodes.count);
  const cutOff = async (rules: (address: string) => string[]) => {
    ground.filter(rules(broker.addressOf(any())));
    await pass(between(500, 3_000));
    ground.filter([]);
  };
  return {
    async "a node is killed"() {
      const node = any();
      await nodes.stop(node, "SIGKILL");
      await nodes.serve(node);
    },
    async "a rolling restart"() {
      for (let node = 1; node <= nodes.count; node++) {
        await nodes.stop(node, "SIGTERM");
        await nodes.serve(node);
      }
    },
    async "a node stands still"() {
      const node = any();
      nodes.signal(node, "SIGSTOP");
      await pass(between(200, 2_500));
      nodes.signal(node, "SIGCONT");
    },
    async "all clients are cut"() {
      ground.run("ss", "-K", "state", "established", `( sport = :${PORT} )`);
    },
    async "the proxy is killed"() {
      await nodes.crashProxy();
    },
    async "a tenth of all packets is lost"() {
      ground.filter(["numgen random mod 100 < 10 drop"]);
      await pass(between(500, 3_000));
      ground.filter([]);
    },
    async [`a node is cut off from ${name}`]() {
      await cutOff((address) => [`ip daddr ${address} drop`, `ip saddr ${address} drop`]);
    },
    async [`a node hears nothing from ${name}`]() {
      await cutOff((address) => [`ip saddr ${address} drop`]);
    },
    async [`${name} hears nothing from a node`]() {
      await cutOff((address) => [`ip daddr ${address} drop`]);
    },
    async [`connections to ${name} are cut`]() {
      ground.run("ss", "-K", "state", "established", `( dport = :${port} )`);
    },
    async [`${name} is killed`]() {
      await broker.crash();
    },
    async [`${name} is restarted`]() {
      await broker.stop("SIGTERM");
      await broker.start();
    },
    async [`${name} stands still`]() {
      await broker.freeze();
      await pass(between(200, 3_000));
      broker.thaw();
    },
  };
}
