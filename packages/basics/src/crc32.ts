/** The reflected polynomial of CRC-32 (ITU-T V.42, 8.1.1.6.2; IEEE 802.3-2018, 3.2.9). */
const POLYNOMIAL = 0xedb8_8320

/** Eight tables: table I has the CRC of a byte that I further bytes of zeros follow. */
const TABLES = Array.from({ length: 8 }, () => new Uint32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0)
  TABLES[0]![byte] = value
}
for (let at = 1; at < 8; at++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = TABLES[at - 1]![byte]!
    TABLES[at]![byte] = (before >>> 8) ^ TABLES[0]![before & 0xff]!
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
]

/** The part of Node's zlib used here: several times as fast, but not available in pages. */
interface Zlib {
  readonly crc32?: (bytes: Uint8Array) => number
}
const { process } = globalThis as {
  readonly process?: { getBuiltinModule?(name: 'node:zlib'): Zlib | undefined }
}
const zlib = process?.getBuiltinModule?.('node:zlib')

/** CRC-32 as zlib, PNG and Ethernet have it. */
export const crc32: (bytes: Uint8Array) => number = zlib?.crc32 ?? ownCrc32

/** Computes {@link crc32} on hosts without an implementation. */
export function ownCrc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      T7[crc & 0xff]! ^
      T6[(crc >>> 8) & 0xff]! ^
      T5[(crc >>> 16) & 0xff]! ^
      T4[crc >>> 24]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
