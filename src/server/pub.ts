import { randomBytes } from "node:crypto";
import { ThroughlineError } from "../protocol/error.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readLines } from "./lines.ts";
import { Outgoing } from "./outgoing.ts";
import { checkUrl, explain, postJson, type Remote } from "./remote.ts";

export interface PubOptions extends Remote {
  readonly event?: string | undefined;
  /** One message, instead of one for each line of input. */
  readonly data?: string | undefined;
  /** Data is JSON instead of text. */
  readonly json?: boolean | undefined;
  /** Idempotency key of the one message; of lines, what stands before `:<line>`. Default: random. */
  readonly key?: string | undefined;
}

/** What the command line gives to a command. */
export interface Surroundings {
  readonly input: AsyncIterable<Uint8Array> & { destroy(): void };
  /** Says a sentence to the person, beside the output. */
  readonly tell: (sentence: string) => void;
  /** Fires when the person wants an end. */
  readonly signal: AbortSignal;
}

/** For a single message someone waits at a prompt. Input may come from a log that is written for months. */
const ONE_MESSAGE_AWAY_MS = 10_000;
/** How long what was read is still sent after the person wants an end. */
const LAST_LINES_MS = 5_000;
const REFUSALS_TOLD_MAX = 10;

/** Publishes one message, or input line by line. Gives the exit code: 0 if all of it is stored. */
export async function pub(channel: string, options: PubOptions, { input, tell, signal }: Surroundings): Promise<number> {
  checkUrl(options.url);
  const { data, key = randomBytes(12).toString("base64url") } = options;
  const single = data !== undefined;
  let refused = 0;

  const tooLate = new AbortController();
  const outgoing = new Outgoing({
    post: (body) => postJson(options, "/publish", body, tooLate.signal),
    signal: tooLate.signal,
    onRefused: refuse,
    onAway: (error, waiting) => tell(`${explain(error, options)} Trying again; ${waiting} ${waiting === 1 ? "waits" : "wait"}.`),
    onBack: () => tell(`${options.url} is back.`),
    awayMsMax: single ? ONE_MESSAGE_AWAY_MS : Number.POSITIVE_INFINITY,
  });

  function refuse(number: number, { code, message }: ThroughlineError): void {
    refused++;
    if (refused <= REFUSALS_TOLD_MAX) tell(`${single ? "The message" : `Line ${number}`} was not stored: ${message} (${code})`);
    if (refused === REFUSALS_TOLD_MAX) tell("Further lines that are not stored are counted at the end.");
  }

  /** False when there is no point in going on. */
  async function send(number: number, text: string): Promise<boolean> {
    const head = { channel, event: options.event, key: single ? key : `${key}:${number}` };
    if (!options.json) return outgoing.push({ number, json: JSON.stringify({ ...head, encoding: "text", data: text }) });
    if (!isJson(text)) {
      refuse(number, new ThroughlineError("bad_json", "It is not JSON. Leave out --json to publish it as text."));
      return true;
    }
    // As it stands: a number that JavaScript cannot hold stays what it is
    return outgoing.push({ number, json: `${JSON.stringify(head).slice(0, -1)},"data":${text}}` });
  }

  async function sendInput(): Promise<void> {
    let mended = false;
    for await (const lines of readLines(input, LIMITS.messageBytesMax)) {
      for (const line of lines) {
        if (line.mended && !mended)
          tell(`Line ${line.number} is not UTF-8: what cannot be read is published as U+FFFD. This is told once.`);
        mended ||= line.mended;
        if (line.text === null)
          refuse(line.number, new ThroughlineError("too_large", `It is longer than ${LIMITS.messageBytesMax} bytes.`));
        else if (!(await send(line.number, line.text))) return;
      }
    }
  }

  async function read(): Promise<void> {
    if (single) await send(1, data);
    // An input that was taken away has ended
    else await sendInput().catch((error) => signal.aborted || Promise.reject(error));
    outgoing.close();
  }

  const stop = (): void => {
    input.destroy();
    setTimeout(() => tooLate.abort(), LAST_LINES_MS).unref();
  };
  signal.addEventListener("abort", stop);
  try {
    await Promise.all([read(), outgoing.run()]);
  } catch (error) {
    const { waiting } = outgoing;
    const why = tooLate.signal.aborted ? "Stopped." : explain(error, options);
    tell(`${why}${waiting > 0 && !single ? ` ${waiting} lines that were read are not known to be stored.` : ""}`);
    return 1;
  } finally {
    signal.removeEventListener("abort", stop);
    input.destroy();
  }
  if (refused > REFUSALS_TOLD_MAX) tell(`${refused} lines were not stored, ${outgoing.stored} were.`);
  return refused > 0 ? 1 : 0;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
