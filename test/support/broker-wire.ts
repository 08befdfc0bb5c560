/** What a broker sends, a reply or a message: whole, as its bytes were. */
export interface Unit {
  readonly bytes: Buffer;
  /** Where it was told, if it is a message to those who listen there. */
  readonly place: string | null;
}

/** Takes what came and returns what is whole of it; what is left over waits for the rest. */
export type Split = (bytes: Buffer) => Unit[];

export function splitter(kind: "redis" | "nats"): Split {
  const read = kind === "redis" ? readReply : readLine;
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const units: Unit[] = [];
    for (let unit = read(rest); unit !== null; unit = read(rest)) {
      units.push(unit);
      rest = rest.subarray(unit.bytes.length);
    }
    return units;
  };
}

const CRLF = "\r\n";
/** `message` and `smessage` with their lengths, in RESP2 (an array) and RESP3 (a push). */
const TOLD = /^[*>]3\r\n\$[78]\r\ns?message\r\n\$\d+\r\n(.*)\r\n/;

/** The first reply of RESP2 or RESP3, or null if it is not whole. */
function readReply(bytes: Buffer): Unit | null {
  const end = endOfReply(bytes, 0);
  if (end < 0) return null;
  const whole = bytes.subarray(0, end);
  return { bytes: whole, place: TOLD.exec(whole.toString("latin1"))?.[1] ?? null };
}

/** Where the reply that begins at a place ends; -1 if that has not come yet. */
function endOfReply(bytes: Buffer, start: number): number {
  const lineEnd = bytes.indexOf(CRLF, start);
  if (lineEnd < 0) return -1;
  const type = String.fromCharCode(bytes[start]!);
  const count = Number(bytes.toString("latin1", start + 1, lineEnd));
  let end = lineEnd + 2;
  if ("$=!".includes(type)) {
    if (count >= 0) end += count + 2;
    return end <= bytes.length ? end : -1;
  }
  // A map is of pairs, and an attribute has the reply behind it that it is of
  const parts = "*>~".includes(type) ? count : type === "%" ? 2 * count : type === "|" ? 2 * count + 1 : 0;
  for (let part = 0; part < parts; part++) {
    end = endOfReply(bytes, end);
    if (end < 0) return -1;
  }
  return end;
}

/** The first line of NATS, with the payload that a MSG or HMSG has; or null if it is not whole. */
function readLine(bytes: Buffer): Unit | null {
  const lineEnd = bytes.indexOf(CRLF);
  if (lineEnd < 0) return null;
  const words = bytes.toString("latin1", 0, lineEnd).split(/[ \t]+/);
  const isMessage = words[0] === "MSG" || words[0] === "HMSG";
  const end = lineEnd + 2 + (isMessage ? Number(words.at(-1)) + 2 : 0);
  if (end > bytes.length) return null;
  return { bytes: bytes.subarray(0, end), place: isMessage ? words[1]! : null };
}
