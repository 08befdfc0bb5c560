import { handler, upgrade } from "../adapters/node.ts";
import { refuse } from "../adapters/node-socket.ts";
import { type Throughline, type ThroughlineOptions, throughline } from "../adapters/throughline.ts";
import type { Retention } from "../core/log.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { LIMITS, type Limits } from "../protocol/limits.ts";
import { type Listening, listenOnLoopback } from "./loopback.ts";
import { loadPage } from "./page-files.ts";
import { FEED_CHANNEL, MACHINE_CHANNEL, publishSamples } from "./samples.ts";

export interface DevOptions extends Pick<ThroughlineOptions, "engine" | "limits" | "warn"> {
  /** Default: 4400. 0 takes any that is free. */
  readonly port?: number;
  /** How much of a channel is kept, where it differs from the engine's default. */
  readonly retain?: Partial<Retention>;
  /** How the command line is called here, for the lines that the page shows. Default: `npx throughline`. */
  readonly command?: string;
  /** Whether this server samples the machine, once a second, for the page. One of several that share a log does. Default: true. */
  readonly samples?: boolean;
  /** False in a worker of `node:cluster`, which shares the port with the others. Default: true. */
  readonly exclusive?: boolean;
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
/** A log that is piped in gives each line a key, for a day: on a developer's disk there is room for more of them. */
export const DISK_LIMITS: Partial<Limits> = { keysMax: 10 * LIMITS.keysMax };

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
  const { port = DEV_PORT, retain, command = "npx throughline", samples = true, exclusive = true, ...rest } = options;
  const tl = throughline({ ...rest, loopbackOnly: true, retain: devRetention(retain) });
  const servePage = loadPage(command);
  const serve = handler(tl);
  const listen = () =>
    listenOnLoopback(
      { port, exclusive },
      (req, res) => servePage(req, res) || serve(req, res),
      (req, socket, head) => {
        if (upgrade(tl, req, socket, head)) return;
        socket.on("error", () => socket.destroy());
        refuse(socket, new ThroughlineError("not_found", "There is no WebSocket at this path. Use /socket."));
      },
    );
  const listening = await (exclusive ? listenThenOpen(tl, listen) : openThenListen(tl, listen));
  return new Dev(tl, listening, samples ? publishSamples(tl) : () => {});
}

/** Whoever is not given the port has touched no log. */
async function listenThenOpen(tl: Throughline, listen: () => Promise<Listening>): Promise<Listening> {
  const listening = await listen();
  try {
    await tl.open();
  } catch (error) {
    listening.stop();
    await listening.end();
    throw error;
  }
  return listening;
}

/** One of several is sent clients as soon as it listens: not before it can serve them, while another may. */
async function openThenListen(tl: Throughline, listen: () => Promise<Listening>): Promise<Listening> {
  await tl.open();
  try {
    return await listen();
  } catch (error) {
    await tl.close();
    throw error;
  }
}

/** How much is kept of a channel of such a server. */
export function devRetention(retain: Partial<Retention> | undefined): (channel: string) => Partial<Retention> {
  return (channel) => ({ ...retain, ...OWN_RETENTION[channel] });
}

class Dev implements DevServer {
  readonly tl: Throughline;
  readonly #listening: Listening;
  readonly #endSampling: () => void;
  #closing: Promise<void> | null = null;

  constructor(tl: Throughline, listening: Listening, endSampling: () => void) {
    this.tl = tl;
    this.#listening = listening;
    this.#endSampling = endSampling;
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
}
