import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { build } from "esbuild";
import type { Order, Standing } from "./storm-child.ts";
import { inTime } from "./until.ts";

const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/storm-child.mjs");

/** Servers in processes of their own, on one log. What is published is by the first. */
export class StormNodes implements AsyncDisposable {
  readonly #children: readonly ChildProcess[];

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children;
  }

  /** `place` is a directory, or the address of a broker. */
  static async start(place: string, count: number): Promise<StormNodes> {
    await build({
      ...{ entryPoints: [join(ROOT, "test/support/storm-child.ts")], outfile: CHILD },
      ...{ bundle: true, platform: "node", format: "esm", target: "node20", packages: "external" },
    });
    return new StormNodes(Array.from({ length: count }, () => fork(CHILD, [place, "storm"])));
  }

  order(what: Order): Promise<Standing> {
    return this.#ask(this.#children[0]!, what);
  }

  async ports(): Promise<readonly number[]> {
    return (await this.#tell()).map(({ port }) => port);
  }

  /** Of what was published last. */
  async top(): Promise<number> {
    return Number((await this.tell()).position.slice(21, 37));
  }

  /** All of them together; of memory, and of one crowd, the largest. */
  async tell(): Promise<Omit<Standing, "port">> {
    const all = await this.#tell();
    const sum = (count: "connections" | "reads") => all.reduce((total, one) => total + one[count], 0);
    const most = (figure: "crowded" | "rssAnonKb") => Math.max(...all.map((one) => one[figure]));
    const [connections, reads, crowded, rssAnonKb] = [sum("connections"), sum("reads"), most("crowded"), most("rssAnonKb")];
    return { position: all[0]!.position, connections, reads, crowded, rssAnonKb };
  }

  #tell(): Promise<Standing[]> {
    return Promise.all(this.#children.map((child) => this.#ask(child, { tell: true })));
  }

  /** One at a time: each order is answered once it is done. */
  async #ask(child: ChildProcess, what: Order): Promise<Standing> {
    const answered = once(child, "message");
    child.send(what);
    const [standing] = await inTime(answered, () => `an answer to ${JSON.stringify(what)}`);
    return standing as Standing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  }
}
