import type { ThroughlineError } from "../../src/protocol/error.ts";
import type { Chance } from "./sim-chance.ts";
import type { Access } from "./sim-network.ts";
import type { ServerNode } from "./sim-node.ts";
import type { Question } from "./sim-requests.ts";
import type { World } from "./sim-world.ts";

/** Someone who asks by a bare POST and waits, however long it takes: no client stands between what the server does and what is seen of it. */
export class Asker {
  readonly name: string;
  readonly #world: World;
  readonly #access: Access;
  /** Waits for an answer, and its connection is sound. */
  isWaiting = true;

  constructor(world: World, name: string, node: ServerNode, chance: Chance) {
    this.#world = world;
    this.name = name;
    this.#access = {
      target: () => node,
      latencyMs: chance.one([0.2, 2, 20]),
      bytesPerMs: Number.POSITIVE_INFINITY,
      isOffline: false,
      isGone: false,
      webSocket: "refused",
      lines: new Set(),
    };
  }

  /** Nothing passes any more, and nobody is told: what it waits for never comes. */
  get isLost(): boolean {
    return ![...this.#access.lines].some(({ passes, clientOpen, serverOpen }) => passes && clientOpen && serverOpen);
  }

  async ask(channel: string, told: Pick<Question, "fails" | "ms">): Promise<void> {
    const world = this.#world;
    const question = { n: 1, of: this.name, ...told };
    const identity = this.name;
    const asked = { question, channel, identity, askedMs: world.time.nowMs };
    const headers = { "content-type": "application/json", cookie: world.tokenOf(identity) };
    try {
      const url = `http://line.test/requests/${channel}?name=echo`;
      const response = await world.network.fetchOf(this.#access)(url, { method: "POST", headers, body: JSON.stringify(question) });
      const body = await response.json();
      if (response.ok) world.requests.answered(asked, body);
      else world.requests.failed(asked, (body as { readonly error: ThroughlineError }).error.code);
    } catch (error) {
      // The network failed: what became of it is not known
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    } finally {
      this.isWaiting = false;
    }
  }

  leave(): void {
    for (const line of [...this.#access.lines]) line.leave();
  }
}
