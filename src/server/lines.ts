/** One line of input, counted from 1. */
export interface Line {
  readonly number: number;
  /** Without its end; null if it is longer than a message may be, and was left out. */
  readonly text: string | null;
  /** Some of it was not UTF-8, and stands as U+FFFD. */
  readonly mended: boolean;
}

const LF = 0x0a;

/** Splits bytes into lines: each ends at LF or CR LF, the last one also at the end. Holds one line of `lineBytesMax` at most. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, lineBytesMax: number): AsyncGenerator<Line[], void, void> {
  let number = 0;
  let begun: Uint8Array[] = [];
  let begunBytes = 0;

  const finish = (end: Uint8Array): Line => {
    number++;
    const bytes = begunBytes + end.length;
    const text = bytes > lineBytesMax ? null : decode(begun.length === 0 ? end : Buffer.concat([...begun, end]));
    begun = [];
    begunBytes = 0;
    return text === null ? { number, text, mended: false } : { number, ...text };
  };

  for await (const chunk of chunks) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      lines.push(finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    begunBytes += rest.length;
    // What is too long is counted, and not kept
    if (begunBytes > lineBytesMax) begun = [];
    else if (rest.length > 0) begun.push(rest.slice());
    if (lines.length > 0) yield lines;
  }
  if (begunBytes > 0) yield [finish(new Uint8Array(0))];
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

function decode(line: Uint8Array): { text: string; mended: boolean } {
  const bytes = line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
  try {
    return { text: strict.decode(bytes), mended: false };
  } catch {
    return { text: lenient.decode(bytes), mended: true };
  }
}
