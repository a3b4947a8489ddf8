/** Most bytes of a buffered program: the count is one byte, minus one. */
export const WRITE_BUFFER_BYTES = 256

const QUERY_AT = 0x10
const EXTENDED_AT = 0x31
const INTEL_EXTENDED = 0x01

/**
 * The answers to a CFI query of a flash with 8-bit accesses and blocks of one size, by offset.
 *
 * Source: JEDEC JESD68.01, "Common Flash Interface (CFI)"; JEP137, "CFI ID Codes"; Intel 28F128J3A data sheet (290667),
 * "Common Flash Interface".
 */
export function cfiQuery(bytes: number, blockBytes: number, busBytes: 1 | 4 = 1): Uint8Array {
  // A chip tells of itself alone: two of 16 bits make a bus of 4 bytes.
  const chips = busBytes === 4 ? 2 : 1
  const table = new Uint8Array(0x40)
  const text = (at: number, value: string): void => {
    for (let i = 0; i < value.length; i++) table[at + i] = value.charCodeAt(i)
  }
  const put16 = (at: number, value: number): void => {
    table[at] = value
    table[at + 1] = value >>> 8
  }
  text(QUERY_AT, 'QRY')
  put16(0x13, INTEL_EXTENDED)
  put16(0x15, EXTENDED_AT)
  // Supply voltages 4.5 to 5.5 V, in binary-coded decimals; no programming voltage.
  table[0x1b] = 0x45
  table[0x1c] = 0x55
  // Typical times as powers of two: 128 us a byte and a buffer, 1 s a block. The longest are 16 times as long.
  table[0x1f] = 7
  table[0x20] = 7
  table[0x21] = 10
  table[0x23] = 4
  table[0x24] = 4
  table[0x25] = 4
  table[0x27] = Math.ceil(Math.log2(bytes / chips))
  // An interface of 8 or of 16 bits, and the buffer of a chip.
  put16(0x28, busBytes === 4 ? 1 : 0)
  put16(0x2a, Math.log2((WRITE_BUFFER_BYTES * busBytes) / chips))
  // One region of blocks with equal size.
  table[0x2c] = 1
  put16(0x2d, bytes / blockBytes - 1)
  put16(0x2f, blockBytes / chips / 256)
  text(EXTENDED_AT, 'PRI11')
  // Features: individual lock bits.
  table[0x36] = 0x08
  return table
}
