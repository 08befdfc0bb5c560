import type { Kind } from "../protocol/message.ts";

/**
 * A 64-bit digest of what a key was used for, so that the same key with other content is noticed (422). It guards a publisher against its own
 * mistakes, not against an attacker, so two interleaved 32-bit FNV-1a-like mixes (multiply and xor, Fowler/Noll/Vo) are enough.
 */
export function printOf(event: string, kind: Kind, data: string | Uint8Array): string {
  const state: [number, number] = [0x811c9dc5, 0x9e3779b9];
  // No event holds a line end, so no two pairs of event and data make one text.
  mixText(state, `${kind}\n${event}\n`);
  if (typeof data === "string") mixText(state, data);
  else for (const byte of data) mix(state, byte);
  return `${(state[0] >>> 0).toString(36)}.${(state[1] >>> 0).toString(36)}`;
}

/**
 * The same mixes as a number below 2 ** 48: many of them can be added up, and taken off again, without leaving the whole numbers. Since sums of them are compared, what
 * differs in a letter must differ in all bits: without the last step, which is the finalizer of MurmurHash3, `1` after one name and `3` after another had the sum of `2` and `2`.
 */
export function tagOf(text: string): number {
  const state: [number, number] = [0x811c9dc5, 0x9e3779b9];
  mixText(state, text);
  const high = scatter(state[0] ^ Math.imul(state[1], 0x9e3779b1));
  return high * 2 ** 16 + (scatter(state[1] ^ high) >>> 16);
}

function scatter(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function mixText(state: [number, number], text: string): void {
  for (let index = 0; index < text.length; index++) mix(state, text.charCodeAt(index));
}

function mix(state: [number, number], value: number): void {
  state[0] = Math.imul(state[0] ^ value, 0x01000193);
  state[1] = Math.imul(state[1] ^ value ^ (state[0] >>> 15), 0x85ebca6b);
}
