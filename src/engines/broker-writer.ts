import type { Appended, Draft } from "../core/log.ts";
import { ThroughlineError } from "../protocol/error.ts";

/** One call of a broker takes so many messages at most. */
const CALL_COUNT_MAX = 500;

/** One call of `append` on its way. */
interface Job {
  readonly answers: Appended[];
  /** Its drafts without an answer. */
  missing: number;
  error: ThroughlineError | null;
  readonly resolve: (answers: readonly Appended[]) => void;
  readonly reject: (error: ThroughlineError) => void;
}

interface DraftStep {
  readonly type: "draft";
  readonly job: Job;
  readonly draft: Draft;
  readonly index: number;
}

type Step = DraftStep | { readonly type: "remove"; readonly resolve: () => void; readonly reject: (error: ThroughlineError) => void };

/** What became of a call. */
export interface Called {
  readonly answers: readonly Appended[];
  /** Until then nobody is told of it; the next call does not wait for it. */
  readonly confirmed?: Promise<void>;
}

/** The way into a broker: of each channel one call at a time, which takes along all that came during the one before. So the order of the calls is the order of the log. */
export abstract class BrokerWriter {
  readonly #queues = new Map<string, Step[]>();
  /** Calls that are not confirmed yet. */
  #confirming = 0;
  #onIdle: (() => void) | null = null;

  /** Stores drafts by one call. Rejects with a ThroughlineError, as `confirmed` does. */
  protected abstract call(channel: string, drafts: readonly Draft[]): Promise<Called>;
  protected abstract clear(channel: string): Promise<void>;
  /** Asked of each draft in turn: whether one call has room for it too. The first is taken in any case. */
  protected abstract room(): (draft: Draft) => boolean;

  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    if (drafts.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const job: Job = { answers: [], missing: drafts.length, error: null, resolve, reject };
      this.#add(
        channel,
        drafts.map((draft, index) => ({ type: "draft", job, draft, index })),
      );
    });
  }

  remove(channel: string): Promise<void> {
    return new Promise((resolve, reject) => this.#add(channel, [{ type: "remove", resolve, reject }]));
  }

  /** Resolves once all that was called has its answer. */
  async idle(): Promise<void> {
    if (this.#queues.size > 0 || this.#confirming > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  #add(channel: string, steps: Step[]): void {
    const queue = this.#queues.get(channel);
    if (queue !== undefined) {
      for (const step of steps) queue.push(step);
      return;
    }
    this.#queues.set(channel, steps);
    void this.#drain(channel, steps);
  }

  async #drain(channel: string, queue: Step[]): Promise<void> {
    while (queue.length > 0) {
      const next = queue[0]!;
      if (next.type === "remove") {
        queue.shift();
        await this.clear(channel).then(next.resolve, next.reject);
        continue;
      }
      const steps = take(queue, this.room());
      if (steps.length > 0) await this.#call(channel, steps);
    }
    this.#queues.delete(channel);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#queues.size === 0 && this.#confirming === 0) this.#onIdle?.();
  }

  async #call(channel: string, steps: readonly DraftStep[]): Promise<void> {
    try {
      const drafts = steps.map(({ draft }) => draft);
      const { answers, confirmed } = await this.call(channel, drafts);
      for (const [at, { job, index }] of steps.entries()) job.answers[index] = answers[at]!;
      if (confirmed === undefined) settle(steps);
      else void this.#confirm(steps, confirmed);
    } catch (error) {
      fail(steps, error as ThroughlineError);
    }
  }

  async #confirm(steps: readonly DraftStep[], confirmed: Promise<void>): Promise<void> {
    this.#confirming++;
    await confirmed.then(
      () => settle(steps),
      (error) => fail(steps, error),
    );
    this.#confirming--;
    this.#tellIdle();
  }
}

/** As many drafts as one call takes. */
function take(queue: Step[], hasRoom: (draft: Draft) => boolean): DraftStep[] {
  const steps: DraftStep[] = [];
  let taken = 0;
  for (; taken < queue.length; taken++) {
    const step = queue[taken]!;
    if (step.type !== "draft" || steps.length === CALL_COUNT_MAX) break;
    // Part of a call that has failed already
    if (step.job.error !== null) continue;
    if (!hasRoom(step.draft) && steps.length > 0) break;
    steps.push(step);
  }
  queue.splice(0, taken);
  return steps;
}

function settle(steps: readonly DraftStep[]): void {
  for (const { job } of steps) if (--job.missing === 0 && job.error === null) job.resolve(job.answers);
}

/** A call of which an earlier part is stored is not one of which nothing is. */
function fail(steps: readonly DraftStep[], error: ThroughlineError): void {
  for (const { job } of steps) {
    if (job.error !== null) continue;
    const isPartly = error.code === "not_stored" && job.answers.length > 0;
    job.error = isPartly
      ? new ThroughlineError("unknown", `${error.message} What came before it in the same call is stored.`, { retryAfterMs: 1_000 })
      : error;
    job.reject(job.error);
  }
}
