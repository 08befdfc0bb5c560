import { createInterface } from "node:readline";
import { createParser } from "eventsource-parser";
import { type Channel, type Client, connect, type Page, type Transport } from "../../src/client.ts";
import { formatPosition, ORIGIN, readPosition } from "../../src/protocol/position.ts";
import { type BeginEvent, type HistoryEvent, hashOf, type MessageEvent } from "../check/history.ts";
import { until } from "../support/until.ts";

/*
 * Those who publish and those who read, in a process of their own, so that it can live in another network than the test. Writes the history
 * to stdout, a JSON object a line. Run as: node crowd-child.mjs <Crowd as JSON>; `say`, `again`, `quiet`, `final` and the end of stdin are its commands.
 */
export interface Crowd {
  readonly url: string;
  readonly name: string;
  readonly channels: readonly string[];
  readonly readers: { readonly [transport in Transport]?: number };
  /** Clients that publish until each message is stored, one after the other; half of them over WebSocket. */
  readonly publishers: number;
  /** Those that POST, take the first answer, whatever it is, and go on to the next message. */
  readonly askers: number;
  /** Those that do the same with many messages in one POST. */
  readonly batchers: number;
  /** Milliseconds between two messages of one publisher, at most. */
  readonly paceMs: number;
  /** Bytes of every eighth message. */
  readonly largeBytes: number;
  /** Idle too long, a client gives up an attempt to connect. */
  readonly connectSecondsMax?: number;
  readonly token?: string;
  /** Readers of the first channel that are wrong on purpose, as a row's negative control. */
  readonly naive?: number;
  /** What they take for an end: silence for so long. */
  readonly naiveSilenceMs?: number;
}

/** What the crowd says beside the history. */
export type Said =
  | { readonly type: "said"; readonly word: "ready" | "say" | "again" | "quiet" | "final" }
  | { readonly type: "naive"; readonly event: BeginEvent | MessageEvent };

const TRANSPORTS = ["sse", "websocket", "long-poll"] as const;
const FINAL_PATIENCE_MS = 60_000;
/** An asker takes no answer for `unknown`. */
const ANSWER_MS = 15_000;
/** So that an asker does not hammer a server that is not there. */
const AFTER_FAILURE_MS = 50;
/** Messages in one POST of a batcher. */
const BATCH_COUNT = 20;
const PAGE_TRIES = 20;
/** So long what happened is gathered before it is told, with the time at which it did. */
const TELL_MS = 5;
/** As long as many a page waits before it connects again; the second twice as long, and so on, so that they do not all come back in one lucky moment. */
const NAIVE_AWAY_MS = 1_000;
const NAIVE_SILENCE_MS = 3_000;

const crowd = JSON.parse(process.argv[2] ?? "{}") as Crowd;
const { url, name, channels } = crowd;
const limits = { backoffMsMin: 50, backoffMsMax: 500, connectSecondsMax: crowd.connectSecondsMax ?? 3 };
const clients = new Set<Client>();
const publishing: Promise<void>[] = [];
let isQuiet = false;

let lines = "";

/** Under load every write of its own would cost more than all else that a message does here. */
function tell(event: HistoryEvent | Said): void {
  if (lines === "") setTimeout(writeOut, TELL_MS);
  lines += `${JSON.stringify(event)}\n`;
}

function writeOut(): void {
  process.stdout.write(lines);
  lines = "";
}

/** The machine's monotonic clock: the same for all processes. */
function t(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function open(transport: Transport): Client {
  const client = connect(url, { transport, limits, ...(crowd.token === undefined ? {} : { token: crowd.token }) });
  client.on("error", () => {}); // cuts are what this is about
  clients.add(client);
  return client;
}

function read(cid: string, transport: Transport): void {
  const client = open(transport);
  let pipe = 0;
  client.on("transport", (now) => {
    if (now !== null) pipe++;
    tell({ type: now === null ? "close" : "open", t: t(), cid, transport });
  });
  for (const channel of channels) {
    const position = formatPosition(ORIGIN);
    tell({ type: "begin", t: t(), cid, channel, position });
    const line = client.channel(channel);
    line.on("gap", (gap) => tell({ type: "gap", t: t(), cid, ...gap }));
    line.subscribe(
      (message) => {
        tell({ type: "message", t: t(), cid, channel, position: message.position, hash: hashOf(message.data), transport, pipe });
      },
      { from: { after: position } },
    );
  }
}

/** The reader of many a tutorial: whatever ends, it comes back a while later to what is there then, and passes on whatever comes. */
async function readNaively(cid: string, awayMs: number): Promise<never> {
  const [channel = ""] = channels;
  tell({ type: "naive", event: { type: "begin", t: t(), cid, channel, position: formatPosition(ORIGIN) } });
  const parser = createParser({
    onEvent: ({ event, id = "", data }) => {
      if (event !== undefined) return;
      tell({ type: "naive", event: { type: "message", t: t(), cid, channel, position: id, hash: hashOf(JSON.parse(data)) } });
    },
  });
  for (let from = "start"; ; from = "now") {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), crowd.naiveSilenceMs ?? NAIVE_SILENCE_MS);
    try {
      const { body } = await fetch(`${url}/channels/${channel}?from=${from}`, { signal: silence.signal });
      const decoder = new TextDecoder();
      for await (const bytes of body ?? []) {
        timer.refresh();
        parser.feed(decoder.decode(bytes, { stream: true }));
      }
    } catch {
      // Cut, or silent
    }
    clearTimeout(timer);
    parser.reset();
    await new Promise((resolve) => setTimeout(resolve, awayMs));
  }
}

/** What a message says follows from who says it, and no two are alike. */
function contentOf(pid: string, seq: number): unknown {
  return { pid, seq, pad: "x".repeat(seq % 8 === 0 ? crowd.largeBytes : 20) };
}

interface Publish {
  readonly channel: string;
  readonly data: unknown;
  readonly key: string;
}

/** What became of it: where it is stored, or the code of an error. */
type Answer = { readonly position: string } | { readonly error: { readonly code?: string } };

/** One after the other, or so many at once, until it is quiet. */
async function publish(pid: string, send: (all: readonly Publish[]) => Promise<readonly Answer[]>, count = 1): Promise<void> {
  for (let from = 1; !isQuiet; from += count) {
    const all = Array.from({ length: count }, (_, index) => publishOf(pid, from + index));
    for (const [index, { channel, data, key }] of all.entries())
      tell({ type: "publish", t: t(), channel, pid, seq: from + index, key, hash: hashOf(data) });
    const answers = await send(all).catch((error: { code?: string }) => all.map(() => ({ error })));
    for (const [index, answer] of answers.entries()) hear(answer, { channel: all[index]!.channel, pid, seq: from + index });
    if (answers.some((answer) => "error" in answer)) await new Promise((resolve) => setTimeout(resolve, AFTER_FAILURE_MS));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * crowd.paceMs));
  }
}

/** What was said last, and how often anything was. */
let lastSaid: Publish | null = null;
let sayings = 0;

/** Publishes a message until it is stored, each time by the same key. */
async function say(one: Publish): Promise<void> {
  lastSaid = one;
  const { channel, key, data } = one;
  for (let isStored = false; !isStored; ) {
    const of = { channel, pid: `${name}-sayer`, seq: ++sayings };
    tell({ type: "publish", t: t(), ...of, key, hash: hashOf(data) });
    const [answer] = await ask([one]).catch((error: { code?: string }) => [{ error }]);
    hear(answer as Answer, of);
    isStored = "position" in (answer as Answer);
    if (!isStored) await new Promise((resolve) => setTimeout(resolve, AFTER_FAILURE_MS));
  }
}

function publishOf(pid: string, seq: number): Publish {
  return { channel: channels[seq % channels.length] as string, data: contentOf(pid, seq), key: `${pid}-${seq}` };
}

function hear(answer: Answer, of: { readonly channel: string; readonly pid: string; readonly seq: number }): void {
  if ("error" in answer) {
    const { code } = answer.error;
    const type = code === undefined || code === "unknown" || code === "timeout" || code === "disconnected" ? "unknown" : "refused";
    tell({ type, t: t(), ...of, code: code ?? String(answer.error) });
  } else tell({ type: "stored", ...answer, t: t(), ...of });
}

async function ask([one]: readonly Publish[]): Promise<readonly Answer[]> {
  const { channel, data, key } = one as Publish;
  return [await post<Answer>(`/channels/${channel}`, data, { "Idempotency-Key": key })];
}

/** An answer for each, or one error for all. */
async function askTogether(all: readonly Publish[]): Promise<readonly Answer[]> {
  const said = await post<readonly Answer[] | { readonly error: { readonly code: string } }>("/publish", all);
  return Array.isArray(said) ? said : all.map(() => said as Answer);
}

async function post<Said>(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Said> {
  const answer = await fetch(url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  return (await answer.json()) as Said;
}

/** The whole log of each channel, read anew over each way. */
async function readFinally(): Promise<void> {
  const client = open("sse");
  for (const channel of channels) {
    const log: { position: string; hash: string }[] = [];
    let from: { after: string } | "start" = "start";
    for (let upToDate = false; !upToDate; ) {
      const page = await pageAfter(client.channel(channel), from);
      for (const { position, data } of page.messages) log.push({ position, hash: hashOf(data) });
      from = { after: page.position };
      upToDate = page.upToDate;
    }
    tellFinal(channel, "page", from as { after: string }, log);
    await Promise.all(TRANSPORTS.map((transport) => readOver(transport, channel, (from as { after: string }).after)));
  }
}

/** A page is asked for once, and may meet a connection that the fault has left behind: the application asks again. */
async function pageAfter(channel: Channel, from: { after: string } | "start"): Promise<Page> {
  for (let tries = 1; ; tries++) {
    try {
      return await channel.history({ from, limit: 1_000 });
    } catch (error) {
      if (tries === PAGE_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, AFTER_FAILURE_MS));
    }
  }
}

async function readOver(transport: Transport, channel: string, head: string): Promise<void> {
  const client = open(transport);
  const log: { position: string; hash: string }[] = [];
  const line = client.channel(channel);
  const reading = line.subscribe(({ position, data }) => log.push({ position, hash: hashOf(data) }), {
    from: { after: formatPosition(ORIGIN) },
  });
  await until(`${transport} reaches the end of ${channel}`, () => line.position !== null && line.position >= head, FINAL_PATIENCE_MS);
  tellFinal(channel, transport, { after: line.position as string }, log);
  reading.unsubscribe();
  client.close();
}

function tellFinal(channel: string, via: string, { after: head }: { after: string }, log: { position: string; hash: string }[]): void {
  const first = readPosition(log[0]?.position ?? "")?.offset ?? (readPosition(head)?.offset ?? 0) + 1;
  tell({ type: "final", t: t(), channel, via, first, head, log });
}

for (const transport of TRANSPORTS) {
  for (let count = 1; count <= (crowd.readers[transport] ?? 0); count++) read(`${name}-${transport}-${count}`, transport);
}
for (let count = 1; count <= (crowd.naive ?? 0); count++) void readNaively(`${name}-naive-${count}`, count * NAIVE_AWAY_MS);
for (let count = 1; count <= crowd.publishers; count++) {
  const client = open(count % 2 === 0 ? "sse" : "websocket");
  const publishOne = async ([one]: readonly Publish[]) => {
    const { channel, data, key } = one as Publish;
    return [await client.channel(channel).publish("message", data, { key })];
  };
  publishing.push(publish(`${name}-publisher-${count}`, publishOne));
}
for (let count = 1; count <= crowd.askers; count++) publishing.push(publish(`${name}-asker-${count}`, ask));
for (let count = 1; count <= crowd.batchers; count++) publishing.push(publish(`${name}-batcher-${count}`, askTogether, BATCH_COUNT));
tell({ type: "said", word: "ready" });

const commands: Record<string, () => Promise<unknown>> = {
  say: () => say(publishOf(`${name}-sayer`, sayings + 1)),
  async again() {
    if (lastSaid !== null) await say(lastSaid);
  },
  quiet() {
    isQuiet = true;
    return Promise.all(publishing);
  },
  final: readFinally,
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    commands[line]?.().then(
      () => tell({ type: "said", word: line as "say" | "again" | "quiet" | "final" }),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  })
  .on("close", () => process.exit(0));
