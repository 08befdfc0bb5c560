import type { Cancel } from "../../protocol/clock.ts";
import { BrokerLine, type LineContext, type LineEvents, RETRY_MS_MAX } from "../broker-line.ts";
import { isNoMaster, Lost } from "./failure.ts";
import { type Argument, type Hear, type Link, type Plug, type Reply, textOf } from "./link.ts";

/**
 * A link on which nothing was answered for so many seconds, though something was asked, is given up: a network may have swallowed it without a word. On a cluster,
 * where the others answer, a member may be silent alone: there it is given up if one question has no answer for so long, and the next link asks who has its slots now.
 * Counted by the looks, not by the clock: a process that was stopped for an hour has not listened for an hour.
 */
const SILENT_SECONDS_MAX = 15;
const WATCH_MS = 1_000;

/** One way to Redis. */
export class Line extends BrokerLine<Link> {
  /** Which Redis it leads to, by the replication id and the part there; empty while that is not known, and of a cluster. */
  lead = "";
  readonly #plug: Plug;
  readonly #onHeard: Hear;
  /** Looks so far; at which of them something was answered last, and at which each question that waits was asked, the oldest first. */
  #looks = 0;
  #answeredAt = 0;
  readonly #asked = new Set<{ readonly at: number }>();
  #cancelWatch: Cancel = () => {};

  constructor(plug: Plug, context: LineContext, events: LineEvents, onHeard: Hear = () => {}) {
    super("Redis", context, events);
    this.#plug = plug;
    this.#onHeard = onHeard;
  }

  /** This line as a link, for one command. */
  async send(key: string, words: readonly Argument[]): Promise<Reply> {
    try {
      return await this.ask((link) => link.send(key, words));
    } catch (error) {
      if (isNoMaster(error)) this.renew((error as Error).message);
      throw error;
    }
  }

  /** Asks where it leads, which may change while it holds: a master is made a replica, and shows what it had. Rejects if that cannot be asked. */
  async findLead(): Promise<void> {
    if (this.isCluster) return;
    const { generation } = this;
    const info = textOf(await this.send("", ["INFO", "replication"]));
    if (generation !== this.generation) return;
    const [role = "", id = ""] = ["role", "master_replid"].map((name) => new RegExp(`^${name}:(\\w+)`, "m").exec(info)?.[1]);
    this.lead = `${role} ${id}`;
    if (role === "slave") this.renew("it is a replica.");
  }

  subscribe(names: readonly string[]): Promise<void> {
    return this.ask((link) => link.subscribe(names));
  }

  unsubscribe(names: readonly string[]): Promise<void> {
    return this.ask((link) => link.unsubscribe(names));
  }

  ping(): Promise<void> {
    return this.ask((link) => link.ping());
  }

  /** Of a cluster, whose members come and go by themselves. */
  get isCluster(): boolean {
    return this.#plug.isCluster;
  }

  /** Gives the link up for another one: what it leads to is not the master, or not the one that the others lead to. What was under way may have been done before. */
  renew(why: string): void {
    if (this.isUp && !this.isCluster && this.upMs > RETRY_MS_MAX) this.lose(new Error(`It is not the master any more: ${why}`));
  }

  protected connect(onEnd: (error: Error) => void): Promise<Link> {
    return this.#plug.open({ onHeard: this.#onHeard, onEnd });
  }

  protected end(link: Link): void {
    link.close();
  }

  protected override lose(error: Error): void {
    super.lose(new Lost(error.message, { cause: error }));
  }

  protected override ended(): void {
    this.lead = "";
    this.#cancelWatch();
  }

  protected asked(): Cancel {
    const question = { at: this.#looks };
    if (this.#asked.size === 0) this.#watch();
    this.#asked.add(question);
    return () => {
      this.#asked.delete(question);
      this.#answeredAt = this.#looks;
    };
  }

  /** One timer while something is asked, and none otherwise. */
  #watch(): void {
    this.#cancelWatch();
    this.#cancelWatch = this.context.clock.after(WATCH_MS, () => {
      const [oldest] = this.#asked;
      if (oldest === undefined) return;
      this.#looks++;
      const since = this.isCluster ? oldest.at : Math.max(oldest.at, this.#answeredAt);
      if (this.#looks - since < SILENT_SECONDS_MAX) this.#watch();
      else this.lose(new Error(`Redis has not answered for ${SILENT_SECONDS_MAX} s.`));
    });
  }
}
