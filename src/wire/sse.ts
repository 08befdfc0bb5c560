/** One event of an event stream (WHATWG HTML §9.2.5). */
export interface SseEvent {
  /** Left out: `message`. */
  readonly event?: string | undefined;
  readonly id?: string | undefined;
  readonly data: string;
  /** Milliseconds before EventSource comes back after a cut. */
  readonly retry?: number | undefined;
}

/**
 * The text of one event. Whatever the strings hold, it is exactly one event: a line end in `data` begins another `data:` line (a CR or
 * CR LF arrives as LF, the format has no other way), and one in `event` or `id` is refused, as is NUL, for which §9.2.6 drops an id.
 *
 * @example formatEvent({ event: "order", id: "7", data: "a\nb" }) // "event: order\nid: 7\ndata: a\ndata: b\n\n"
 */
export function formatEvent({ event, id, data, retry }: SseEvent): string {
  let text = "";
  if (retry !== undefined) text += `retry: ${checkRetry(retry)}\n`;
  if (event !== undefined) text += `event: ${checkLine("event", event)}\n`;
  if (id !== undefined) text += `id: ${checkLine("id", id)}\n`;
  return `${text}data: ${dataLines(data)}\n\n`;
}

/** The text of a comment, which readers skip: what keeps an idle connection open (§9.2.7). */
export function formatComment(text: string): string {
  return `:${text.replace(/\r\n?|\n/g, "\n:")}\n\n`;
}

/** `data`, cut into the lines that follow one `data: `. The test comes first since nearly all data is one line. */
export function dataLines(data: string): string {
  return data.includes("\n") || data.includes("\r") ? data.replace(/\r\n?|\n/g, "\ndata: ") : data;
}

/** A field that must be one line. Throws a `RangeError`: names and ids were checked at the door, so this is a fault of ours. */
export function checkLine(field: "event" | "id", value: string): string {
  if (!/[\r\n\0]/.test(value)) return value;
  throw new RangeError(`The ${field} of an event must hold no line end and no NUL: ${JSON.stringify(value.slice(0, 64))}.`);
}

function checkRetry(ms: number): number {
  // §9.2.6 takes digits only
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw new RangeError(`The retry of an event must be whole milliseconds, 0 or more, not ${ms}.`);
}
