let lastBytes: Uint8Array | null = null;
let lastBuffer: Buffer = Buffer.alloc(0);

/**
 * The same bytes as a Buffer, which is what Node's streams write. Given any other Uint8Array they make one for each write, and a fan-out writes the
 * same bytes to thousands of sockets in a row: one is kept until others come.
 */
export function asBuffer(bytes: Uint8Array): Buffer {
  if (bytes !== lastBytes) {
    lastBytes = bytes;
    lastBuffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  return lastBuffer;
}
