import { createParser, type ParseError } from "eventsource-parser";
import { ERRORS, type ErrorCode } from "../../src/protocol/error.ts";

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** All of it has come. */
  readonly whole: boolean;
}

/** What node:http says by itself where it cannot read a request, or what it expects of us: nothing but the status, and it closes. */
const NODE_STATUSES = new Set([400, 408, 413, 417, 431]);
const NO_CHUNKS = "0\r\n\r\n";
const CLIENT_ONLY = new Set(["closed", "aborted", "timeout", "outbox_full", "retries_exhausted", "disconnected"]);
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const EVENT_STREAM = "text/event-stream";

/**
 * The answers on one connection, each held to RFC 9112 and PROTOCOL.md §4 and §11. Throws a sentence about what is wrong. `asked` is what was sent: where it has a HEAD,
 * an answer may have a length and no body.
 */
export function readAnswers(received: string, asked: string): Answer[] {
  const answers: Answer[] = [];
  for (let rest = received; rest !== ""; ) {
    if (answers.at(-1)?.status === 101) break;
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) {
      if (!"HTTP/1.1 ".startsWith(rest.slice(0, 9)) && !rest.startsWith("HTTP/1.1 ")) throw new Error(`This is no answer: ${shown(rest)}`);
      break;
    }
    const { status, headers } = readHead(rest.slice(0, end));
    rest = rest.slice(end + 4);
    if (status >= 100 && status < 200 && status !== 101) continue;
    const length = headers.get("content-length");
    if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`The length is ${length}.`);
    const isBodiless = status === 101 || status === 204 || (/HEAD/.test(asked) && (rest === "" || rest.startsWith("HTTP/1.1 ")));
    const isNodes = headers.get("content-type") === undefined && NODE_STATUSES.has(status);
    const nodes = isNodes && rest.startsWith(NO_CHUNKS) ? NO_CHUNKS.length : isNodes ? 0 : null;
    const bytes = isBodiless ? 0 : (nodes ?? (length === undefined ? rest.length : Number(length)));
    const answer = { status, headers, body: rest.slice(0, status === 101 ? undefined : bytes), whole: rest.length >= bytes };
    if (nodes === null) judge(answer, length === undefined, isBodiless);
    answers.push(answer);
    rest = rest.slice(bytes);
  }
  return answers;
}

function readHead(text: string): Pick<Answer, "status" | "headers"> {
  const [first = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]+$/.exec(first)?.[1];
  if (status === undefined) throw new Error(`This is no status line: ${shown(first)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (!TOKEN.test(name) || /[^\x20-\x7e]/.test(value)) throw new Error(`This is no header of ours: ${shown(line)}`);
    if (headers.has(name)) throw new Error(`The header ${name} came twice.`);
    headers.set(name, value);
  }
  return { status: Number(status), headers };
}

function judge({ status, headers, body, whole }: Answer, isEndless: boolean, isBodiless: boolean): void {
  const type = headers.get("content-type");
  if (status === 101) return;
  if (headers.get("x-content-type-options") !== "nosniff") throw new Error(`An answer of ${status} without nosniff.`);
  if (status === 200 && type === EVENT_STREAM) {
    judgeStream(body);
    return;
  }
  if (!headers.get("cache-control")?.includes("no-store")) throw new Error(`An answer of ${status} that may be stored.`);
  if (status === 202 || status === 204 || (status === 200 && type === undefined)) {
    if (body !== "") throw new Error(`An answer of ${status} with a body: ${shown(body)}`);
    return;
  }
  if (type !== "application/json" || isEndless)
    throw new Error(`An answer of ${status} is ${type}, ${isEndless ? "without" : "with"} a length.`);
  if (!whole || isBodiless) return;
  const value = JSON.parse(Buffer.from(body, "latin1").toString("utf8"));
  if (status < 300) {
    if (status !== 200 && status !== 201) throw new Error(`Nothing is answered ${status}.`);
    return;
  }
  judgeError(value.error, status);
  if (Object.keys(value).join() !== "error") throw new Error(`An error with more in it: ${shown(body)}`);
}

/** An error of the law: its code, its status, and a sentence. */
export function judgeError(error: { code?: unknown; message?: unknown } | undefined, status?: number): void {
  const { code, message } = error ?? {};
  if (typeof code !== "string" || !Object.hasOwn(ERRORS, code) || CLIENT_ONLY.has(code))
    throw new Error(`The code ${shown(String(code))} is not in the law.`);
  if (code === "internal") throw new Error("The server says that it has a fault.");
  if (status !== undefined && ERRORS[code as ErrorCode].status !== status) throw new Error(`${code} is not ${status}.`);
  // No line of a stack; what the client sent stands in quotation marks, and may look like one
  if (typeof message !== "string" || message.length < 10 || /\bat .+:\d+:\d+/.test(message.replace(/"(\\.|[^"\\])*"/g, "")))
    throw new Error(`${code} says ${shown(String(message))}`);
}

/** An event stream of ours, as far as it has come: another's parser finds nothing wrong with it, and it begins as the law says. */
function judgeStream(body: string): void {
  const names: string[] = [];
  const fail = (error: ParseError): never => {
    throw new Error(`The stream is broken: ${error.message}`);
  };
  const parser = createParser({
    onError: fail,
    onEvent: ({ event, data }) => names.push(event ?? (names.length === 0 ? (JSON.parse(data).type ?? "message") : "message")),
  });
  parser.feed(Buffer.from(body, "latin1").toString("utf8"));
  if (names.length > 0 && names[0] !== "connected" && names[0] !== "bye") throw new Error(`The stream begins with ${names[0]}.`);
}

export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
