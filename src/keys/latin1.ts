/** Bytes as a string of the same length, one character U+0000 to U+00FF for each byte, `start` to `end` exclusive. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
