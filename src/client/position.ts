/*
 * A position as the client needs it: it comes from the server, so that its form is not checked again here. `000001a1b2c3d4Zk3x9QpA`
 * `.` 16 digits `.` tag (PROTOCOL.md §3).
 */

export function epochOf(position: string): string {
  return position.slice(0, 20);
}

/** Throws for what is no text: a list has `slice` too, and is another each time that it comes. */
export function offsetOf(position: string): number {
  return +position.substring(21, 37);
}

/** Of a message's `id`, which is its offset, not filled up, and its tag. */
export function positionOf(epoch: string, id: string): string {
  return `${epoch}.${id.padStart(25, "0")}`;
}
