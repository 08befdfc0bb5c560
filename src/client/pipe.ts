import type { ServerFrame } from "../protocol/frame.ts";
import type { Environment } from "./environment.ts";

/** One channel that a pipe is to read, and from where: what POST /events takes, and a subscribe frame but for its names. */
export interface Ask {
  readonly name: string;
  readonly id: number;
  readonly from: string;
}

/**
 * What a transport is: opened at positions, frames in, and, if it can, frames out. It keeps no position, decides nothing and never comes
 * back: it ends once, by `host.end`, or without a word when `host.signal` fires.
 */
export interface Pipe {
  /** Only on a pipe that goes both ways. */
  send?(message: string): void;
  /** Other channels on the pipe, once it is open; where these are missing, another pipe must be opened beside this one. */
  begin?(asks: readonly Ask[]): void;
  leave?(channel: string): void;
}

export interface PipeHost {
  /** Fires when the pipe is to end. */
  readonly signal: AbortSignal;
  /** What POST /events takes: where each channel is to begin. Made as late as can be, so that little comes twice. Each begins all anew. */
  body(): string;
  /** The pipe has opened: what it is to carry is told by `begin`. */
  plan(): void;
  /** Something came: an answer's head, bytes. */
  heard(): void;
  /** True if it was a message that nothing had brought before. Throws if the frame is not as the law says; the pipe then ends with that. */
  frame(frame: ServerFrame): boolean;
  /** The pipe is over. Later calls are ignored. */
  end(error?: unknown): void;
}

export type OpenPipe = (host: PipeHost, environment: Environment) => Pipe;
