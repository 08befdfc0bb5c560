import { ThroughlineError } from "../protocol/error.ts";

/** `Uint8Array.prototype.toBase64` and `Uint8Array.fromBase64` of ECMAScript 2026, which not every runtime has yet. */
interface NativeEncoder {
  readonly toBase64?: () => string;
}
interface NativeDecoder {
  readonly fromBase64?: (text: string, options: { readonly lastChunkHandling: "strict" }) => Uint8Array;
}

/** Divisible by 3, so that the pieces join without padding, and few enough for the arguments of one call. */
const PIECE_BYTES = 0x6000;

/** Base64 of RFC 4648 §4, with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  const native = bytes as NativeEncoder;
  if (native.toBase64 !== undefined) return native.toBase64();
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    text += btoa(String.fromCharCode.apply(null, bytes.subarray(at, at + PIECE_BYTES) as unknown as number[]));
  }
  return text;
}

/** The bytes of base64 exactly as `encodeBase64` writes it: padded, without spaces, without stray bits. Throws `bad_frame`. */
export function decodeBase64(text: string): Uint8Array {
  const native = Uint8Array as NativeDecoder;
  // Both readers skip spaces, which would let one content have many texts
  if (!/[^A-Za-z0-9+/=]/.test(text)) {
    try {
      if (native.fromBase64 !== undefined) return native.fromBase64(text, { lastChunkHandling: "strict" });
      const binary = atob(text);
      const bytes = new Uint8Array(binary.length);
      for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
      // Atob drops the bits that padding leaves over; only zeros are strict (§3.5)
      if (btoa(binary.slice(binary.length - (binary.length % 3 || 3))) === text.slice(-4)) return bytes;
    } catch {
      // Refused below, as what is not base64 at all
    }
  }
  throw new ThroughlineError("bad_frame", 'The data is not base64 (RFC 4648 §4, with padding), though encoding says "base64".');
}
