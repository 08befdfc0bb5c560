import { isErrorCode, ThroughlineError } from "../protocol/error.ts";

/** Which server a command talks to. */
export interface Remote {
  readonly url: string;
  readonly token?: string | undefined;
}

export const DEFAULT_URL = "http://127.0.0.1:4400";
const ANSWER_MS_MAX = 30_000;

/** Throws if the URL cannot be that of a server. */
export function checkUrl(url: string): void {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return;
  throw new ThroughlineError("bad_request", `${JSON.stringify(url)} is not the URL of a server. It looks like ${DEFAULT_URL}.`);
}

/** The JSON that a POST of JSON text is answered. Throws what the server said, or `disconnected` where it said nothing that can be read. */
export async function postJson({ url, token }: Remote, path: string, body: string, signal: AbortSignal): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url.replace(/\/+$/, "") + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body,
      signal: AbortSignal.any([AbortSignal.timeout(ANSWER_MS_MAX), signal]),
    });
    text = await response.text();
  } catch (cause) {
    throw new ThroughlineError("disconnected", "There was no answer.", { cause });
  }
  const answer = parse(text);
  if (response.ok && answer !== undefined) return answer;
  throw errorOf(response, answer);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A proxy on the way answers in its own words: 5xx and 429 may pass, the rest will not. */
function errorOf({ status, headers }: Response, answer: unknown): ThroughlineError {
  const told = (answer as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
  const seconds = Number.parseFloat(headers.get("retry-after") ?? "");
  const hint = seconds >= 0 ? { retryAfterMs: seconds * 1_000 } : {};
  if (isErrorCode(told?.code)) return new ThroughlineError(told.code, String(told.message), hint);
  const mayPass = status >= 500 || status === 429;
  return new ThroughlineError(mayPass ? "disconnected" : "not_found", `The answer was ${status}, and not one of Throughline.`, hint);
}

/** For a person: what went wrong on the way to the server. */
export function explain(error: unknown, { url }: Remote): string {
  if (!(error instanceof ThroughlineError)) return error instanceof Error ? error.message : String(error);
  if (error.code !== "disconnected" && error.code !== "timeout") return `${error.message} (${error.code})`;
  const reason = reasonOf(error);
  return `${url} does not answer${reason === "" ? "" : ` (${reason})`}.`;
}

/** The code of the system's error at the bottom, such as ECONNREFUSED. */
function reasonOf(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z]/.test(code)) return code;
  }
  return "";
}
