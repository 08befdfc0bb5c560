import type { World } from "./sim-world.ts";

/** What a request carries, by which its handler knows it. */
export interface Question {
  readonly n: number;
  readonly of: string;
  readonly fails: boolean;
  /** How long its handler takes; absent: as chance has it. */
  readonly ms?: number;
}

interface Asked {
  readonly question: Question;
  readonly channel: string;
  readonly identity: string;
  readonly askedMs: number;
}

/** Requests of which nobody hears that they were done: they were refused before. */
const NOT_DONE: ReadonlySet<string> = new Set(["no_handler", "too_many_requests", "forbidden"]);

/** What is promised of requests (PROTOCOL.md §8), whoever asks and whichever node answers. */
export class Requests {
  readonly #world: World;
  /** Those that a handler was run for. */
  readonly #done = new Set<string>();
  readonly #refused = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A handler is run for it. */
  runs(question: Question): void {
    const one = nameOf(question);
    const code = this.#refused.get(one);
    if (this.#done.has(one)) this.#world.fail(`${one} was done twice`);
    if (code !== undefined) this.#world.fail(`${one} was refused with ${code}, and done then`);
    this.#done.add(one);
  }

  answered({ question, channel, identity }: Asked, answer: unknown): void {
    this.#world.saw("an answer");
    const own = JSON.stringify({ data: question, channel, by: identity });
    if (question.fails || JSON.stringify(answer) !== own)
      this.#world.fail(`${question.of} asked ${own}, and was answered ${JSON.stringify(answer)}`);
  }

  failed({ question, askedMs }: Asked, code: string): void {
    const world = this.#world;
    const one = nameOf(question);
    world.saw("a request that failed");
    if (code === "request_failed" && !question.fails) world.fail(`${one} failed, and was not asked to`);
    if (NOT_DONE.has(code) && this.#done.has(one)) world.fail(`${one} was done, and refused with ${code}`);
    if (NOT_DONE.has(code)) this.#refused.set(one, code);
    if (code !== "no_handler" && code !== "request_timeout") return;
    world.saw(code);
    if (world.isQuietSince(askedMs) && world.nodes.some(({ isAnswering }) => isAnswering))
      world.fail(`${one} ended in ${code}, and nothing was in its way`);
  }
}

function nameOf({ of, n }: Question): string {
  return `request ${n} of ${of}`;
}
