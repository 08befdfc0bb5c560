import type { Random } from "../../src/protocol/clock.ts";

/** What has broken parsers before: of HTTP, of WebSocket, of JSON, of positions, of terminals. Latin-1, a character a byte. */
export const NASTY: readonly string[] = [
  ..."\0 \t \r \n \x7f \x80 \xff \xfe \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xef\xbb\xbf \xe2\x80\xa8 \x1b[2J".split(" "),
  "\r\n",
  "\r\n\r\n",
  "\n\n",
  "\r\n ",
  ..."% %00 %zz %2e%2e %2F %ff %C0%80 ../ // /./ ? # & = ; : , . * > { } [ ] \" \\ \\u0000 \\ud800 \\ud83d ' <".split(" "),
  ..."0 -0 -1 1e999 1e400 NaN Infinity null true 00000000000000001 9007199254740991 9007199254740993 9999999999999999 18446744073709551616".split(
    " ",
  ),
  ...'"__proto__" __proto__ constructor toString hasOwnProperty {"__proto__":{"admin":1}} [[[[[[[[ {"a": \\u005f_proto__'.split(" "),
  ..."now start last: last:0 last:999999999999999 since: after: epoch.0.-------- -------- 000000000000--------.0000000000000000.--------".split(
    " ",
  ),
  ...'"type" "type":"publish" "type":"subscribe" "type":"bye" "channel" "id" "data" "encoding":"base64" "encoding":"text" "key" "from"'.split(
    " ",
  ),
  "data:",
  "\ndata: x\n\n",
  "id:\0\n",
  "retry: 0\n",
  "event: bye\n",
  "Host: a\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 99999999999999999999\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "Connection: Upgrade\r\nUpgrade: websocket\r\n",
  "Upgrade: h2c\r\n",
  "Expect: 100-continue\r\n",
  "Content-Encoding: gzip\r\n",
  "Last-Event-ID: ,,,\r\n",
  'Idempotency-Key: "\\\r\n',
  "Sec-WebSocket-Version: 14\r\n",
  "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "HTTP/2.0",
  "0\r\n\r\n",
  "fffffffffffffff\r\n",
  "\x81\x80\0\0\0\0",
  "\x88\x80\0\0\0\0",
  "\x89\x80\0\0\0\0",
  "\x80\x80\0\0\0\0",
  "\x01\x81\0\0\0\0x",
  "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
  "\x81\xff\0\0\0\0\0\0\0\x01",
];

const MUTATIONS = ["flip", "set", "insert", "delete", "duplicate", "splice", "truncate", "nasty"] as const;

/** One to eight mutations of a text of Latin-1, that is of bytes. `others` are what `splice` takes pieces of. */
export function mutate(input: string, random: Random, others: readonly string[] = [], lengthMax = 20_000): string {
  let text = input;
  for (let rest = 1 + below(random, random.fraction() < 0.5 ? 2 : 8); rest > 0; rest--) {
    const at = below(random, text.length + 1);
    const length = below(random, random.fraction() < 0.7 ? 8 : text.length + 1);
    const [before, after] = [text.slice(0, at), text.slice(at)];
    switch (pick(random, MUTATIONS)) {
      case "flip":
        text = before + (after === "" ? "" : String.fromCharCode(after.charCodeAt(0) ^ (1 << below(random, 8)))) + after.slice(1);
        break;
      case "set":
        text = before + String.fromCharCode(below(random, 256)) + after.slice(1);
        break;
      case "insert":
        text = before + bytes(random, 1 + below(random, 8)) + after;
        break;
      case "delete":
        text = before + after.slice(length);
        break;
      case "duplicate":
        text = before + after.slice(0, length).repeat(1 + below(random, 4)) + after;
        break;
      case "splice": {
        const other = others.length === 0 ? text : pick(random, others);
        const from = below(random, other.length + 1);
        text = before + other.slice(from, from + 1 + below(random, other.length)) + after.slice(length);
        break;
      }
      case "truncate":
        text = random.fraction() < 0.5 ? before : after;
        break;
      case "nasty":
        text = before + pick(random, NASTY) + after.slice(random.fraction() < 0.5 ? 0 : length);
    }
  }
  return text.slice(0, lengthMax);
}

/**
 * A shorter text that still fails, by leaving out halves, quarters… down to single bytes, as long as that helps. `fails` is asked at most `asksMax`
 * times, since over a socket each question costs.
 */
export async function minimise(input: string, fails: (text: string) => Promise<boolean>, asksMax = 80): Promise<string> {
  let text = input;
  let asks = 0;
  for (let size = Math.ceil(text.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < text.length; ) {
      if (++asks > asksMax) return text;
      const shorter = text.slice(0, at) + text.slice(at + size);
      if (await fails(shorter)) text = shorter;
      else at += size;
    }
  }
  return text;
}

/** A line to paste: what `Buffer.from(…, "latin1")` takes. */
export function asLine(text: string): string {
  return JSON.stringify(text).replace(/[\x7f-\xff]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`);
}

export function below(random: Random, count: number): number {
  return Math.floor(random.fraction() * count);
}

export function pick<One>(random: Random, list: readonly One[]): One {
  return list[below(random, list.length)] as One;
}

export function bytes(random: Random, count: number): string {
  return Array.from({ length: count }, () => String.fromCharCode(below(random, 256))).join("");
}
