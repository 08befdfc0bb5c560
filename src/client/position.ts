/*
 * A position as the client needs it: it comes from the server, so that its form is not checked again here. `000001a1b2c3d4Zk3x9QpA`
 * `.` 16 digits `.` tag (PROTOCOL.md §3).
 */

export function epochOf(position: string): string {
  return position.slice(0, 20);
}

export function offsetOf(position: string): number {
  return Number(position.slice(21, 37));
}

export function positionOf(epoch: string, offset: string, tag: string): string {
  return `${epoch}.${offset.padStart(16, "0")}.${tag}`;
}
