import { connect } from "../client/connect.ts";
import { presence } from "../client/presence.ts";
import type { Member } from "../client/roll.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ERRORS, ThroughlineError } from "../protocol/error.ts";
import type { Output } from "./output.ts";
import { checkUrl, explain, postJson, type Remote } from "./remote.ts";

export interface WhoOptions extends Remote {
  /** Go on with each change. */
  readonly watch?: boolean | undefined;
}

interface Page {
  readonly members: readonly Member[];
  readonly more?: string;
}

/** Prints who is on a channel, a member as JSON in each line, and with `watch` then what changes, until `signal` fires. Gives the exit code. */
export async function who(
  name: string,
  { watch = false, ...options }: WhoOptions,
  { output, tell, signal }: { readonly output: Output; readonly tell: (sentence: string) => void; readonly signal: AbortSignal },
): Promise<number> {
  checkUrl(options.url);
  const ended = AbortSignal.any([signal, output.gone]);
  try {
    // It becomes part of a path, in which `a?b` would be another channel
    checkChannelName(name);
    if (watch) await follow(name, options, { output, tell, ended });
    else await list(name, options, output, ended);
    return 0;
  } catch (error) {
    if (ended.aborted) return 0;
    tell(explain(error, options));
    return 1;
  }
}

async function list(name: string, options: Remote, output: Output, ended: AbortSignal): Promise<void> {
  for (let after: string | undefined = ""; after !== undefined; ) {
    const asked = JSON.stringify(after === "" ? {} : { after });
    const page = (await postJson(options, `/presence/${name}`, asked, ended)) as Page;
    for (const { user, client, data } of page.members) await output.print(JSON.stringify({ user, client, data }));
    after = page.more;
  }
}

async function follow(
  name: string,
  options: Remote,
  { output, tell, ended }: { readonly output: Output; readonly tell: (sentence: string) => void; readonly ended: AbortSignal },
): Promise<void> {
  const { url, token } = options;
  // What follows tries for as long as it takes, and says nothing meanwhile
  await postJson(options, `/presence/${name}`, "{}", ended).catch((error) => {
    if (ended.aborted || !(error instanceof ThroughlineError) || !ERRORS[error.code].retry) throw error;
    tell(`${explain(error, options)} Trying again.`);
  });
  const client = connect(url, token === undefined ? {} : { token });
  try {
    await new Promise<void>((resolve, reject) => {
      const watching = presence(client.channel(name));
      for (const change of ["join", "update", "leave"] as const) {
        watching.on(change, (member) => void output.print(JSON.stringify({ change, ...member })));
      }
      watching.on("error", reject);
      ended.addEventListener("abort", () => resolve());
      if (ended.aborted) resolve();
    });
  } finally {
    client.close();
  }
}
