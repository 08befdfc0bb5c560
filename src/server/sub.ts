import { connect } from "../client/connect.ts";
import type { Transport } from "../client/options.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import { readFrom } from "./from-option.ts";
import { sentenceOfGap } from "./gap-sentence.ts";
import { lineOf, type Output } from "./output.ts";
import { checkUrl, explain, type Remote } from "./remote.ts";

export interface SubOptions extends Remote {
  readonly from: string;
  readonly transport: Transport | "auto";
  /** Each message as JSON with its position, event and time, instead of its data alone. */
  readonly json?: boolean | undefined;
}

/** Prints a channel's messages as they come, until `signal` fires or nobody reads them. Gives the exit code. */
export async function sub(
  name: string,
  { from, json = false, ...options }: SubOptions,
  { output, tell, signal }: { readonly output: Output; readonly tell: (sentence: string) => void; readonly signal: AbortSignal },
): Promise<number> {
  checkUrl(options.url);
  const start = readFrom(from);
  const ended = AbortSignal.any([signal, output.gone]);
  const client = connect(options.url, { transport: options.transport, ...(options.token === undefined ? {} : { token: options.token }) });
  let away = false;
  client.on("error", (error) => {
    if (!away && client.state !== "failed") tell(`${explain(error, options)} Trying again.`);
    away = true;
  });
  client.on("state", (state) => {
    if (state === "connected" && away) tell(`${options.url} is back.`);
    if (state === "connected") away = false;
  });
  try {
    const channel = client.channel(name);
    channel.on("gap", (gap) => tell(sentenceOfGap(gap)));
    for await (const message of channel.messages({ from: start, signal: ended })) await output.print(lineOf(message, json));
    return 0;
  } catch (error) {
    tell(explain(error as ThroughlineError, options));
    return 1;
  } finally {
    client.close();
  }
}
