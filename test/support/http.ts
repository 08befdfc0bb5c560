import { type IncomingMessage, request } from "node:http";

export interface Call {
  readonly method?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text and bytes go as they are, without a Content-Type; anything else as JSON. */
  readonly body?: unknown;
  /** Given what ends the call. */
  readonly onOpen?: (end: () => void) => void;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests know what they asked for
  readonly json: any;
}

/** The server said no. */
export class Refused extends Error {
  readonly code: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, told: { readonly status?: number; readonly retryAfterMs?: number | undefined } = {}) {
    super(message);
    this.code = code;
    this.status = told.status;
    this.retryAfterMs = told.retryAfterMs;
  }
}

/** One call on a connection of its own, its answer's head having come. */
export function open(url: string, call: Call = {}): Promise<IncomingMessage> {
  const { method = "GET", token, body, onOpen } = call;
  const plain = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(plain ? {} : { "content-type": "application/json" }),
    ...call.headers,
  };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, resolve);
    asked.on("error", reject);
    onOpen?.(() => asked.destroy());
    asked.end(plain ? body : JSON.stringify(body));
  });
}

/** One call and its whole answer, whatever it says. */
export async function ask(url: string, call: Call = {}): Promise<Answer> {
  const response = await open(url, call);
  const text = await textOf(response);
  const isJson = /json/.test(response.headers["content-type"] ?? "");
  return { status: response.statusCode ?? 0, headers: response.headers, text, json: isJson && text !== "" ? JSON.parse(text) : undefined };
}

/** One call that must succeed: throws `Refused` otherwise. */
export async function demand(url: string, call: Call = {}): Promise<Answer> {
  const answer = await ask(url, call);
  if (answer.status < 400) return answer;
  throw refusalOf(answer);
}

export function refusalOf({ status, headers, json }: Pick<Answer, "status" | "headers" | "json">): Refused {
  const { code = "none", message = `The answer was ${status}.` } = json?.error ?? {};
  const after = headers["retry-after"];
  return new Refused(code, message, { status, retryAfterMs: after === undefined ? undefined : Number(after) * 1_000 });
}

export async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** A channel's path: the slashes of its name stand as they are. */
export function pathOf(room: "channels" | "signals" | "requests", channel: string): string {
  return `/${room}/${channel}`;
}
