import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { Ground, PORT } from "./ground.ts";
import { judge } from "./judge.ts";
import { addressOf } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";
import { dropped, OTHER_SITE, RedisBroker } from "./redis-broker.ts";
import { silence } from "./silence.ts";

/** How often: `THROUGHLINE_SPLITS=20` for a night. */
const SPLITS = Number(process.env["THROUGHLINE_SPLITS"] ?? 2);
const PATIENCE_MS = 60_000;
const KIND = "split brain";
/** How often the clients are sent elsewhere while there are two masters, at least and at most. */
const MOVES = 3;
const MOVES_MAX = 40;
/** A user who may do all but ask INFO, and the password. */
const BLIND = "blind";

/** Two Redises, of which one follows the other until both are masters; each has been either. */
class Split {
  /** How often node 2 was told of one of its connections alone, and how often those of node 1 outlived the end of it. */
  torn = 0;
  quiet = 0;
  readonly #ground: Ground;
  #master: RedisBroker;
  #other: RedisBroker;

  private constructor(ground: Ground, master: RedisBroker, other: RedisBroker) {
    this.#ground = ground;
    this.#master = master;
    this.#other = other;
  }

  static async begin(ground: Ground): Promise<Split> {
    const [master, other] = [new RedisBroker(ground, "redis-a"), new RedisBroker(ground, "redis-b", { site: OTHER_SITE, nodes: [] })];
    await Promise.all([master.start(), other.start()]);
    await other.follow(master);
    return new Split(ground, master, other);
  }

  /**
   * The network parts node 2 and the replica from the master, and the replica is made one: for node 1 all is as it was, and node 2 finds another. The network tells it of each of its connections;
   * or, torn, of any one, and it finds out by itself that the others lead elsewhere.
   */
  async part(isTorn: boolean): Promise<void> {
    const ground = this.#ground;
    const { site, port: broker } = this.#master;
    const cut = dropped(site.upstream);
    ground.filter([...cut, ...dropped(addressOf(2))]);
    await this.#store(5, this.#master);
    this.#other.ask("replicaof", "no", "one");
    this.#master.serve(1);
    this.#other.serve(2);
    const ports = ground
      .run("ss", "-Htn", "state", "established", "dst", addressOf(2), "dport", "=", `:${broker}`)
      .split("\n")
      .flatMap((line) => /:(\d+)\s/.exec(line)?.[1] ?? []);
    const any = ports[Math.floor(ground.random.fraction() * ports.length)];
    if (isTorn) this.torn++;
    for (const port of isTorn ? ports.filter((one) => one === any) : ports)
      ground.run("ss", "-K", "state", "established", "sport", "=", `:${port}`, "dst", addressOf(2));
    ground.filter(cut);
  }

  /** From now on there is a user who cannot tell one from the other. */
  blind(): void {
    for (const broker of [this.#master, this.#other]) broker.ask("acl", "setuser", BLIND, "on", `>${BLIND}`, "~*", "&*", "+@all", "-info");
  }

  /** So many messages are stored by each of the two masters, or by one of them. */
  async #store(count: number, ...masters: RedisBroker[]): Promise<void> {
    const goals = masters.map((master) => [master, topOf(master) + count] as const);
    const lacking = () => goals.filter(([master, goal]) => topOf(master) < goal).map(([{ site }]) => site.desk);
    await until("they store", () => lacking().length === 0, PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${error.message} Not so: ${lacking()}; ${this.#ground.err.slice(-1_000)}`);
    });
  }

  /** Both store, while clients go from one to the other and back: some times, and as often as it takes until one has met what it must. Where the proxy sends whom is chance. */
  async live(count: number, hasMet: () => boolean = () => true): Promise<void> {
    await this.#store(count, this.#master, this.#other);
    for (let times = 0; times < MOVES || (times < MOVES_MAX && !hasMet()); times++) {
      this.#ground.run("ss", "-K", "state", "established", `( sport = :${PORT} )`);
      await this.#store(count, this.#master, this.#other);
    }
  }

  /** The one that was master follows the other, as Sentinel makes it, or without a word to those who have a connection to it. */
  async heal(isQuiet: boolean): Promise<void> {
    const [old, young] = [this.#master, this.#other];
    [this.#master, this.#other] = [young, old];
    old.serve();
    young.serve(1, 2);
    const following = old.follow(young);
    this.#ground.fault(KIND, "stop");
    if (isQuiet) this.quiet++;
    else for (const type of ["normal", "pubsub"]) old.ask("client", "kill", "type", type);
    this.#ground.filter([]);
    await following;
  }
}

/** How many messages of the first channel there are. */
function topOf(broker: RedisBroker): number {
  return Number(broker.ask("hget", "throughline:{orders}:meta", "top"));
}

/** Some who go from node to node, and at each node some who stay there. Who polls asks for one channel: of two, the busier one ends each poll before the other has been read. */
async function gather(ground: Ground): Promise<void> {
  await ground.gather({ publishers: 2, readers: { sse: 2, websocket: 2 } });
  await ground.gather({ publishers: 0, askers: 0, channels: ["orders"], readers: { "long-poll": 1 } });
  for (const node of [1, 2]) {
    const url = `http://127.0.0.1:${Nodes.portOf(node)}`;
    await ground.gather({ url, publishers: 2, askers: 2, readers: { sse: 1, websocket: 1 } });
  }
}

/** Again and again there are two masters for a while. `live` is what is done meanwhile. */
async function suffer(ground: Ground, split: Split, takes: Takes, live: () => Promise<void>): Promise<void> {
  const chance = () => takes.isSeen && ground.random.fraction() < 0.5;
  for (let times = 0; times < SPLITS; times++) {
    await ground.progress(30);
    await ground.whole();
    ground.fault(KIND, "start", { ...takes.told, splits: true });
    await split.part(chance());
    await live();
    await split.heal(chance());
    await ground.progress(50);
    await ground.whole();
    await ground.current();
  }
  await ground.calm();
}

interface Takes {
  /** What the checker is told. */
  readonly told: Parameters<Ground["fault"]>[2];
  /** Whether a node may see which Redis it is connected to. Else it counts on the network to cut what leads to another one. */
  readonly isSeen: boolean;
}

/** What is on its way to the replica is stored in one place, and may be lost with it. */
const SEEN: Takes = { told: { may: ["truncated", "epoch"], loses: ["disk"] }, isSeen: true };
/** Nothing begins a new epoch. */
const UNSEEN: Takes = { told: { may: ["truncated"], loses: ["disk"], rewrites: true }, isSeen: false };
const PATIENCE = { timeout: 60_000 + SPLITS * 90_000 };

test(
  `[D1] [D3] [D10] a Redis of which ${SPLITS} times both halves are masters for a while: every reader of what is lost is told, and all come to one log`,
  PATIENCE,
  async () => {
    const ground = new Ground();
    const split = await Split.begin(ground);
    await new Nodes(ground, 2, RedisBroker.urlOf).begin();
    await gather(ground);
    const ofEpoch = () => ground.gaps.filter(({ reason }) => reason === "epoch").length;
    await suffer(ground, split, SEEN, () => {
      const before = ofEpoch();
      return split.live(15, () => ofEpoch() > before);
    });
    expect(new Set(ground.gaps.map(({ reason }) => reason))).toEqual(new Set(["truncated", "epoch"]));
    const what = "Of two Redises both are masters for a while, each with one of two nodes, and clients go from one to the other";
    const { counts } = judge(ground, {
      row: "B4",
      what: `${what}; then one follows the other. Every reader of what is lost is told.`,
      ...figuresOf(ground, split),
    });
    expect(counts.lost, "something that was acknowledged is lost").toBeGreaterThan(0);
  },
);

test(
  `[D3] the same ${SPLITS} times where no node may ask which Redis it is, and nothing begins a new epoch: the tags alone tell`,
  PATIENCE,
  async () => {
    const ground = new Ground();
    const split = await Split.begin(ground);
    split.blind();
    await new Nodes(ground, 2, (node) => RedisBroker.urlOf(node).replace("//", `//${BLIND}:${BLIND}@`)).begin();
    await gather(ground);
    await suffer(ground, split, UNSEEN, () => split.live(15));
    expect(new Set(ground.gaps.map(({ reason }) => reason))).toEqual(new Set(["truncated"]));
    const { counts } = judge(ground, {
      row: "B4",
      what: "The same where no node may ask INFO, so that nothing begins a new epoch: the tags alone tell.",
      ...figuresOf(ground, split),
    });
    expect(counts.lost, "something that was acknowledged is lost").toBeGreaterThan(0);
  },
);

test(
  `[D4] the same ${SPLITS} times with waitReplicas: neither master acknowledges anything while it is alone, and nothing acknowledged is lost`,
  PATIENCE,
  async () => {
    const ground = new Ground();
    const split = await Split.begin(ground);
    await new Nodes(ground, 2, RedisBroker.urlOf, { waitReplicas: 1, waitMs: 250 }).begin();
    await gather(ground);
    await suffer(ground, split, SEEN, async () => {
      const { unknown, history } = ground;
      const { length } = history;
      await split.live(5);
      expect(ground.unknown).toBeGreaterThan(unknown);
      const meanwhile = history.slice(length);
      // An answer may have been on its way before
      const asked = new Set(meanwhile.flatMap((event) => (event.type === "publish" ? [nameOf(event)] : [])));
      const answered = meanwhile.filter((event) => event.type === "stored" && asked.has(nameOf(event)));
      expect(answered, "acknowledged by a master without a replica").toEqual([]);
    });
    const levels = new Set(ground.history.flatMap((event) => (event.type === "stored" ? [event.level] : [])));
    expect([...levels]).toEqual(["replicated"]);
    const { counts } = judge(ground, {
      row: "B4",
      what: "The same with waitReplicas 1: neither master acknowledges anything while it is alone, and nothing acknowledged is lost.",
      ...figuresOf(ground, split),
    });
    expect(counts.lost).toBe(0);
  },
);

function nameOf({ pid, seq }: { readonly pid: string; readonly seq: number }): string {
  return `${pid} ${seq}`;
}

function figuresOf(ground: Ground, { torn, quiet }: Split): { gaps: number; torn: number; quiet: number; control: string } {
  const control = `planted: the gap of a reader taken out of the history, for each of ${silence(ground)}: all found`;
  return { gaps: ground.gaps.length, torn, quiet, control };
}
