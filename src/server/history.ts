import { connect } from "../client/connect.ts";
import { readFrom } from "./from-option.ts";
import { sentenceOfGap } from "./gap-sentence.ts";
import { lineOf, type Output } from "./output.ts";
import { checkUrl, explain, type Remote } from "./remote.ts";

export interface HistoryOptions extends Remote {
  readonly from: string;
  /** Messages at most. */
  readonly limit: number;
  /** Each message as JSON with its position, event and time, instead of its data alone. */
  readonly json?: boolean | undefined;
}

const PAGE_COUNT_MAX = 1_000;

/** Prints what is stored of a channel, and ends. Gives the exit code. */
export async function history(
  name: string,
  { from, limit, json = false, ...options }: HistoryOptions,
  { output, tell }: { readonly output: Output; readonly tell: (sentence: string) => void },
): Promise<number> {
  checkUrl(options.url);
  let next = readFrom(from);
  const client = connect(options.url, options.token === undefined ? {} : { token: options.token });
  try {
    for (let left = limit; left > 0; ) {
      const page = await client.channel(name).history({ from: next, limit: Math.min(left, PAGE_COUNT_MAX), signal: output.gone });
      if (page.gap !== undefined) tell(sentenceOfGap(page.gap));
      for (const message of page.messages) await output.print(lineOf(message, json));
      left -= page.messages.length;
      if (page.upToDate) return 0;
      if (left === 0) tell(`There is more. Go on with --from after:${page.position}`);
      next = { after: page.position };
    }
    return 0;
  } catch (error) {
    if (output.gone.aborted) return 0;
    tell(explain(error, options));
    return 1;
  } finally {
    client.close();
  }
}
