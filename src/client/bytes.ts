/*
 * The wire room has all of this with every check. Here are the short forms of what one page needs, since each hundred bytes is paid by
 * every visitor; the test holds the two together.
 */

export function encodeBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

export function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The frame that a binary message is: the length of its header in 4 bytes, the header, its data (PROTOCOL.md §5). Throws if it is not. */
export function decodeBinary<Frame>(message: ArrayBuffer): Frame {
  const length = new DataView(message).getUint32(0);
  return { ...JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, length))), data: new Uint8Array(message, 4 + length) };
}
