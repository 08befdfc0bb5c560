import { handler, upgrade } from "../adapters/node.ts";
import { refuse } from "../adapters/node-socket.ts";
import { type Throughline, type ThroughlineOptions, throughline } from "../adapters/throughline.ts";
import type { Retention } from "../core/log.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { type Listening, listenOnLoopback } from "./loopback.ts";
import { type MachineSample, sampleMachine } from "./machine.ts";
import { loadPage } from "./page-files.ts";

export interface DevOptions extends Pick<ThroughlineOptions, "engine" | "limits" | "warn"> {
  /** Default: 4400. 0 takes any that is free. */
  readonly port?: number;
  /** How much of a channel is kept, where it differs from the engine's default. */
  readonly retain?: Partial<Retention>;
  /** How the command line is called here, for the lines that the page shows. Default: `npx throughline`. */
  readonly command?: string;
}

/** A standalone server on this machine, for this machine only. */
export interface DevServer extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:4400` */
  readonly url: string;
  readonly tl: Throughline;
  /** Says goodbye to every client, stores what is in flight, and lets the port go. */
  close(): Promise<void>;
}

export const DEV_PORT = 4400;

/** The page reads these: how the machine fares, once a second, as data and as a line of text. */
export const MACHINE_CHANNEL = "machine/stats";
export const FEED_CHANNEL = "demo/feed";
/** They never stop growing by themselves, so that an hour and a day of them are kept, whatever else is. */
const OWN_RETENTION: Readonly<Record<string, Partial<Retention>>> = {
  [MACHINE_CHANNEL]: { secondsMax: 60 * 60 },
  [FEED_CHANNEL]: { secondsMax: 24 * 60 * 60 },
};

/**
 * Starts what `throughline dev` starts: channels, and the live page that shows them, on the loopback interface. It takes neither foreign
 * pages nor foreign host names. Not for production: everyone on this machine may do everything.
 *
 * @example const server = await startDev({ port: 0, engine: disk("./data") });
 */
export async function startDev(options: DevOptions = {}): Promise<DevServer> {
  const { port = DEV_PORT, retain, command = "npx throughline", ...rest } = options;
  const tl = throughline({ ...rest, loopbackOnly: true, retain: (channel) => ({ ...retain, ...OWN_RETENTION[channel] }) });
  const servePage = loadPage(command);
  const serve = handler(tl);
  const listening = await listenOnLoopback(
    port,
    (req, res) => servePage(req, res) || serve(req, res),
    (req, socket, head) => {
      if (upgrade(tl, req, socket, head)) return;
      socket.on("error", () => socket.destroy());
      refuse(socket, new ThroughlineError("not_found", "There is no WebSocket at this path. Use /socket."));
    },
  );
  try {
    await tl.open();
  } catch (error) {
    listening.stop();
    await listening.end();
    throw error;
  }
  return new Dev(tl, listening);
}

class Dev implements DevServer {
  readonly tl: Throughline;
  readonly #listening: Listening;
  readonly #endSampling: () => void;
  #publishing = false;
  #closing: Promise<void> | null = null;

  constructor(tl: Throughline, listening: Listening) {
    this.tl = tl;
    this.#listening = listening;
    this.#endSampling = sampleMachine((sample) => void this.#publish(sample));
  }

  get port(): number {
    return this.#listening.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#endSampling();
    this.#listening.stop();
    await this.tl.close();
    await this.#listening.end();
  }

  /** A log that is slow, or full, gets no second sample while it has the first. */
  async #publish(sample: MachineSample): Promise<void> {
    if (this.#publishing || this.#closing !== null) return;
    this.#publishing = true;
    try {
      await Promise.all([
        this.tl.channel(MACHINE_CHANNEL).publish("sample", sample),
        this.tl.channel(FEED_CHANNEL).publish("message", sentenceOf(sample), { text: true }),
      ]);
    } catch {
      // the engine's own warnings tell; the plots show a hole
    } finally {
      this.#publishing = false;
    }
  }
}

function sentenceOf({ cpu, memory, network }: MachineSample): string {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const parts = [`cpu ${percent(cpu.total)}`, `memory ${percent(memory.used / memory.total)}`];
  if (network !== null) parts.push(`in ${kilobytes(network.received)}`, `out ${kilobytes(network.sent)}`);
  return parts.join("  ");
}

function kilobytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1_000).toFixed(0)} kB/s`;
}
