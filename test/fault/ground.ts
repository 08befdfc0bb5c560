import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach } from "vitest";
import { readPosition } from "../../src/protocol/position.ts";
import type { FaultEvent, FinalEvent, GapEvent, HistoryEvent } from "../check/history.ts";
import { seededRandom } from "../support/clock.ts";
import { epochOf } from "../support/inbox.ts";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { BIN, BUILT, CACHE } from "./built.ts";
import type { Crowd, Said } from "./crowd-child.ts";
import { Ledger } from "./ledger.ts";
import { SAMPLE, type Sample } from "./sample.ts";
import type { Serving } from "./server-child.ts";

/** A limited machine takes its time. */
const PATIENCE_MS = 30_000;
/** Where in a position its tag begins. */
const TAG_AT = 38;
export const PORT = 4400;

export interface ServeOptions {
  /** What runs it: `["strace", "-D", …]`. */
  readonly under?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Words for `throughline dev`. */
  readonly words?: readonly string[];
  /** Instead of `throughline dev`: the library's own server. */
  readonly library?: Omit<Serving, "port" | "host"> & { readonly host?: string };
  readonly data?: string;
  readonly user?: number;
}

/** A crowd that was let in. */
export interface Gathered {
  readonly name: string;
  readonly process: ChildProcess;
  readonly said: Set<string>;
}

const grounds = new Set<Ground>();

afterEach(() => {
  for (const ground of grounds) ground.close();
  grounds.clear();
});

/**
 * Where a fault is tried: a network of its own, a directory of its own, a server in it, and a crowd that publishes and reads. What happens is
 * one history, which is judged after the fault is over and everybody had time to catch up. All of it is given back after the test.
 */
export class Ground {
  readonly seed = Number(process.env["THROUGHLINE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  readonly random = seededRandom(this.seed);
  readonly ledger = new Ledger();
  readonly history: HistoryEvent[] = [];
  /** What those were handed who are wrong on purpose. */
  readonly naive: HistoryEvent[] = [];
  readonly startMs = performance.now();
  readonly network: string;
  /** Where the server's log is. */
  data: string;
  server: ChildProcess | null = null;
  /** What all servers said so far. */
  out = "";
  err = "";
  acked = 0;
  delivered = 0;
  refused = 0;
  unknown = 0;
  injections = 0;
  readonly samples: Sample[] = [];
  readonly #crowds = new Set<Gathered>();
  readonly #ready = new WeakSet<ChildProcess>();
  #gathered = 0;
  /** Of each reader and channel: where it is. */
  readonly #places = new Map<string, string>();
  /** Of each channel: where the last that was acknowledged stands, by its epoch and offset. */
  readonly #lasts = new Map<string, string>();
  /** Readers without a pipe. */
  readonly cut = new Set<string>();
  #names = 0;

  constructor() {
    grounds.add(this);
    this.data = join(this.ledger.home, "data");
    this.network = this.makeNetwork();
  }

  /** One more network namespace, with a loopback interface. */
  makeNetwork(): string {
    const name = `throughline-${process.pid}-${performance.now().toFixed(0)}-${this.#names++}`;
    this.ledger.note({ type: "namespace", name });
    execFileSync(need("ip"), ["netns", "add", name]);
    execFileSync(need("ip"), ["-n", name, "link", "set", "lo", "up"]);
    return name;
  }

  /** Runs a program to its end in the ground's network. */
  run(program: string, ...words: string[]): string {
    return execFileSync("nsenter", [`--net=/run/netns/${this.network}`, "--", need(program), ...words], {
      encoding: "utf8",
      stdio: "pipe",
    });
  }

  /** Fills the filter of a network with these rules, on what comes in; with none it is empty. */
  filter(rules: readonly string[], network = this.network): void {
    const chain = `chain input {\ntype filter hook input priority 0\n${rules.join("\n")}\n}`;
    const script = `table inet faults {}\ndelete table inet faults\n${rules.length > 0 ? `table inet faults {\n${chain}\n}\n` : ""}`;
    execFileSync("nsenter", [`--net=/run/netns/${network}`, "--", need("nft"), "-f", "-"], { input: script, stdio: "pipe" });
  }

  /** Sets what the network's kernel goes by: `net/ipv4/…`. */
  async set(name: string, value: string): Promise<void> {
    const child = this.start(["sh", "-c", `echo "${value}" > /proc/sys/${name}`]);
    await until(`${name} is ${value}`, () => child.exitCode === 0);
  }

  /** Sockets of the server that are established. */
  get established(): number {
    return this.run("ss", "-Htn", "state", "established", `( sport = :${PORT} )`)
      .split("\n")
      .filter((line) => line !== "").length;
  }

  /** The JSON that the server answers to a GET, asked from inside of the network. */
  async fetch<Answer>(path: string, port = PORT): Promise<Answer> {
    const script = `fetch("http://127.0.0.1:${port}${path}", { headers: { Accept: "application/json" } }).then((a) => a.text()).then(console.log)`;
    const child = this.start([process.execPath, "-e", script]);
    let text = "";
    child.stdout?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    await until(`${path} is answered`, () => hasEnded(child), PATIENCE_MS);
    return JSON.parse(text) as Answer;
  }

  /** What the server's probes say: of readiness true, or the code of the error. */
  async health(port = PORT): Promise<{ live: unknown; ready: unknown }> {
    const { live } = await this.fetch<{ live?: unknown }>("/livez", port);
    const { ready, error } = await this.fetch<{ ready?: unknown; error?: { code: string } }>("/readyz", port);
    return { live, ready: ready ?? error?.code };
  }

  /** Starts a program in a network; in the ground's own, if none is named. */
  start(words: readonly string[], options: { network?: string; env?: Readonly<Record<string, string>>; user?: number } = {}): ChildProcess {
    const { network = this.network, env = {}, user } = options;
    const enter = [`--net=/run/netns/${network}`, ...(user === undefined ? [] : [`--setuid=${user}`, `--setgid=${user}`]), "--"];
    const child = spawn("nsenter", [...enter, ...words], { cwd: this.ledger.home, env: { ...process.env, THROUGHLINE_TOKEN: "", ...env } });
    if (child.pid !== undefined) this.ledger.noteProcess(child.pid);
    return child;
  }

  /** Starts the server on the ground's log. False if it ended before it was ready: `err` says why. */
  async serve(options: ServeOptions = {}): Promise<boolean> {
    const { under = [], env, words = [], library, user, data = this.data } = options;
    const serving: Serving | undefined = library && { host: "127.0.0.1", port: PORT, data, ...library };
    const program =
      serving === undefined
        ? ["--import", join(BUILT, "probe-child.mjs"), BIN, "dev", "--port", String(PORT), "--data", data, ...words]
        : ["--import", join(BUILT, "probe-child.mjs"), join(BUILT, "server-child.mjs"), JSON.stringify(serving)];
    this.server = this.launch([...under, process.execPath, ...program], {
      ...(env === undefined ? {} : { env }),
      ...(user === undefined ? {} : { user }),
    });
    return this.ready(this.server);
  }

  /** Starts a server, and keeps what it says. */
  launch(words: readonly string[], options: { env?: Readonly<Record<string, string>>; user?: number } = {}): ChildProcess {
    const server = this.start(words, options);
    server.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.out += text;
      if (text.includes("Ctrl-C")) this.#ready.add(server);
    });
    createInterface({ input: server.stderr as NodeJS.ReadableStream }).on("line", (line) => {
      if (line.startsWith(SAMPLE)) this.samples.push(JSON.parse(line.slice(SAMPLE.length)));
      else this.err += `${line}\n`;
    });
    return server;
  }

  /** Waits until a server serves. False if it ended before. */
  async ready(server: ChildProcess): Promise<boolean> {
    await until(`the server is ready: ${this.err}`, () => this.#ready.has(server) || hasEnded(server), PATIENCE_MS);
    return this.#ready.has(server) && !hasEnded(server);
  }

  get isServing(): boolean {
    return this.server !== null && !hasEnded(this.server);
  }

  /** Ends the server by a signal, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.server?.kill(signal);
    await this.ended();
  }

  /** Waits until the server is gone. */
  async ended(): Promise<void> {
    const { server } = this;
    if (server !== null) await until("the server is gone", () => hasEnded(server), PATIENCE_MS);
  }

  /** Lets a crowd in. */
  async gather(wishes: Partial<Crowd> = {}, network = this.network): Promise<Gathered> {
    const crowd: Crowd = {
      url: `http://127.0.0.1:${PORT}`,
      name: `crowd${++this.#gathered}`,
      channels: ["orders", "chat/lobby"],
      readers: { sse: 2, websocket: 2, "long-poll": 1 },
      publishers: 4,
      askers: 2,
      batchers: 0,
      paceMs: 10,
      largeBytes: 2_000,
      ...wishes,
    };
    const child = this.start([process.execPath, join(BUILT, "crowd-child.mjs"), JSON.stringify(crowd)], { network });
    const said = new Set<string>();
    const gathered: Gathered = { name: crowd.name, process: child, said };
    this.#crowds.add(gathered);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      if (!line.endsWith("}")) return; // it was killed in the middle of a line
      const event = JSON.parse(line) as HistoryEvent | Said;
      if (event.type === "said") said.add(event.word);
      else if (event.type === "naive") this.naive.push(event.event);
      else this.#hear(event);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.err += text;
    });
    await until("the crowd is there", () => said.has("ready"), PATIENCE_MS);
    return gathered;
  }

  /** A crowd goes: who publishes when that is answered, then all at once and without a word. */
  async dismiss(gathered: Gathered): Promise<void> {
    const { name, process: child, said } = gathered;
    child.stdin?.write("quiet\n");
    await until("those who leave have their answers", () => said.has("quiet"), PATIENCE_MS);
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
    this.#crowds.delete(gathered);
    for (const reader of [...this.#places.keys()].filter((one) => one.startsWith(`${name}-`))) {
      const cid = reader.slice(0, reader.indexOf(" "));
      this.history.push({ type: "end", t: now(), cid });
      this.#places.delete(reader);
      this.cut.delete(cid);
    }
  }

  /** How much the server holds now. */
  async sample(): Promise<Sample> {
    const { length } = this.samples;
    this.server?.kill("SIGUSR2");
    await until("the server says how much it holds", () => this.samples.length > length, PATIENCE_MS);
    return this.samples.at(-1) as Sample;
  }

  /** Waits for so many more acknowledged publishes. */
  async progress(count: number): Promise<void> {
    const goal = this.acked + count;
    await until(`${count} more are acknowledged: ${this.err.slice(-2_000)}`, () => this.acked >= goal, PATIENCE_MS);
  }

  /** Waits until something is acknowledged in each of these channels that was asked for from now on: what `progress` counts may have been on its way for long. */
  async onward(channels: readonly string[]): Promise<void> {
    const sinceT = now();
    const { length } = this.history;
    const isOn = (channel: string) => {
      const all = this.history.slice(length).filter((event) => "channel" in event && event.channel === channel);
      const asked = new Set(all.flatMap((event) => (event.type === "publish" && event.t > sinceT ? [`${event.pid} ${event.seq}`] : [])));
      return all.some((event) => event.type === "stored" && asked.has(`${event.pid} ${event.seq}`));
    };
    await until(`more is acknowledged in each: ${this.err.slice(-2_000)}`, () => channels.every(isOn), 2 * PATIENCE_MS);
  }

  /** Waits until every reader has a pipe again. */
  async whole(): Promise<void> {
    await until("every reader is back", () => this.cut.size === 0, PATIENCE_MS);
  }

  /** Waits until every reader has what is acknowledged by now; one crowd may be left out. */
  async shown(but = "-"): Promise<void> {
    const lasts = new Map(this.#lasts);
    const hasSeen = ([reader, position]: readonly [string, string]) =>
      reader.startsWith(but) || position.slice(0, TAG_AT) >= (lasts.get(channelOf(reader)) ?? "");
    await until("every reader has what is stored", () => [...this.#places].every(hasSeen), PATIENCE_MS);
  }

  /** Waits until every reader has come to the epoch in which was stored last: until then a node may not have noticed that the log before it is another. */
  async current(): Promise<void> {
    const isCurrent = ([reader, position]: readonly [string, string]) =>
      epochOf(position) >= epochOf(this.#lasts.get(channelOf(reader)) ?? "");
    await until("every reader is in the last epoch", () => [...this.#places].every(isCurrent), PATIENCE_MS);
  }

  /** Something is broken now, or mended. */
  fault(kind: string, phase: FaultEvent["phase"], more: Pick<FaultEvent, "may" | "loses" | "rewrites" | "splits" | "channel"> = {}): void {
    if (phase === "start") this.injections++;
    this.history.push({ type: "fault", t: now(), kind, phase, ...more });
  }

  /** All is mended: nobody publishes any more, and every reader reaches the end, which is also read anew over each way. */
  async calm(): Promise<void> {
    this.fault("all", "calm");
    for (const word of ["quiet", "final"]) {
      for (const { process: child } of this.#crowds) child.stdin?.write(`${word}\n`);
      await until(`the crowd is done with ${word}`, () => this.#isDoneWith(word), 90_000);
    }
    const heads = new Map(this.history.filter((event) => event.type === "final").map(({ channel, head }) => [channel, head]));
    const behind = () => [...this.#places].filter(([reader, position]) => position !== heads.get(channelOf(reader)));
    await until("every reader is at the end", () => behind().length === 0, PATIENCE_MS).catch(() => {});
  }

  /** Where readers are told to be, and what they were told to have missed. */
  get gaps(): GapEvent[] {
    return this.history.filter((event) => event.type === "gap");
  }

  get finals(): FinalEvent[] {
    return this.history.filter((event) => event.type === "final");
  }

  /** How often readers' pipes opened so far. */
  opens(): number {
    return this.history.filter((event) => event.type === "open").length;
  }

  /** Files and sockets that the server has open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.server?.pid}/fd`).length;
  }

  /** How often readers' pipes closed so far; of one crowd or transport, if its name is given. */
  closes(of = ""): number {
    return this.history.filter((event) => event.type === "close" && event.cid.includes(of)).length;
  }

  /** Keeps the history where a person can look at it, and says where. */
  keep(): string {
    const directory = join(CACHE, "histories");
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `${this.network}.ndjson`);
    // Not as one text: there may be more than fits into one
    const file = openSync(path, "w");
    for (const event of this.history) writeSync(file, `${JSON.stringify(event)}\n`);
    closeSync(file);
    return path;
  }

  /** Gives everything back. */
  close(): void {
    for (const { process: child } of this.#crowds) child.stdin?.end();
    this.ledger.release();
  }

  #isDoneWith(word: string): boolean {
    const crowds = [...this.#crowds];
    if (crowds.some(({ process: child }) => hasEnded(child))) throw new Error(`The crowd has gone: ${this.err.slice(-2_000)}`);
    return crowds.every(({ said }) => said.has(word));
  }

  #hear(event: HistoryEvent): void {
    this.history.push(event);
    if (event.type === "stored") {
      this.acked++;
      const { channel } = event;
      const place = event.position?.slice(0, TAG_AT) ?? "";
      if (place > (this.#lasts.get(channel) ?? "")) this.#lasts.set(channel, place);
    }
    if (event.type === "refused") this.refused++;
    else if (event.type === "unknown") this.unknown++;
    else if (event.type === "message") this.delivered++;
    else if (event.type === "open") this.cut.delete(event.cid);
    else if (event.type === "close") this.cut.add(event.cid);
    if (event.type === "message" || event.type === "begin") this.#places.set(`${event.cid} ${event.channel}`, event.position);
    else if (event.type === "gap") this.#places.set(`${event.cid} ${event.channel}`, event.resumeFrom);
  }
}

/** Of a reader's name in `#places`. */
function channelOf(reader: string): string {
  return reader.slice(reader.indexOf(" ") + 1);
}

/** Lets a fault last: nobody can tell when it has done its work. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The machine's monotonic clock, which the crowd reads too. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function offsetOf(position: string): number {
  return readPosition(position)?.offset ?? Number.NaN;
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
