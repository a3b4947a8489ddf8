import type { BlockProperties } from '@retrap/device'

// What a disk answers with. Numbers are big-endian; lengths in headers do not count themselves.

/** Blocks of one command. */
export const mostBlocks = ({ blockBytes }: BlockProperties): number => Math.floor(MOST_BYTES / blockBytes)

/** Data of one command. */
export const MOST_BYTES: number = 4 << 20
/** Ranges of one UNMAP, and blocks of all of them. */
export const MOST_RANGES = 256
const MOST_RANGE_BLOCKS = 0x40_0000

const be16 = (value: number): readonly number[] => [(value >> 8) & 0xff, value & 0xff]
const be32 = (value: number): readonly number[] => [...be16(Math.floor(value / 0x1_0000)), ...be16(value & 0xffff)]
const be64 = (value: number): readonly number[] => [...be32(Math.floor(value / 2 ** 32)), ...be32(value >>> 0)]

const text = (value: string, bytes: number): readonly number[] =>
  [...value.slice(0, bytes).padEnd(bytes)].map((character) => character.charCodeAt(0) & 0x7f)

/** INQUIRY (SPC-4, "Standard INQUIRY data"): a disk of SPC-4, with a queue of commands. */
export function inquiry(model: string): Uint8Array {
  return Uint8Array.of(0, 0, 0x06, 0x12, 31, 0, 0, 0x02, ...text('RETRAP', 8), ...text(model, 16), ...text('1.0', 4))
}

/** INQUIRY for a unit that is not there: no device type. */
export const noInquiry = (): Uint8Array => Uint8Array.of(0x7f, 0, 0x06, 0x12, 31, ...new Uint8Array(31))

const page = (code: number, bytes: readonly number[]): Uint8Array =>
  Uint8Array.of(0, code, ...be16(bytes.length), ...bytes)

/**
 * INQUIRY of vital product data (SPC-4, "Vital product data parameters"; SBC-3, "Vital product data parameters").
 *
 * @returns null for a page that is not there
 */
export function productData(code: number, serial: string, properties: BlockProperties): Uint8Array | null {
  const { blockBytes, physicalBlockBytes, discards } = properties
  switch (code) {
    case 0x00:
      return page(code, [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2])
    case 0x80:
      return page(code, text(serial, serial.length))
    case 0x83: {
      // T10 vendor identification, ASCII, of the logical unit.
      const name = [...text('RETRAP', 8), ...text(serial, serial.length)]
      return page(code, [0x02, 0x01, 0, name.length, ...name])
    }
    case 0xb0: {
      const most = be32(mostBlocks(properties))
      const unmap = discards
        ? [...be32(MOST_RANGE_BLOCKS), ...be32(MOST_RANGES), ...be32(physicalBlockBytes / blockBytes)]
        : [...be32(0), ...be32(0), ...be32(0)]
      return page(code, [
        // WSNZ: WRITE SAME of no blocks does not mean all of them.
        ...[1, 0, ...be16(1), ...most, ...most],
        ...[...be32(0), ...unmap, ...be32(discards ? 0x8000_0000 : 0), ...be64(MOST_RANGE_BLOCKS)],
        ...new Uint8Array(20),
      ])
    }
    case 0xb1:
      // A medium that does not rotate.
      return page(code, [...be16(1), ...new Uint8Array(58)])
    case 0xb2:
      // UNMAP, WRITE SAME(16) and (10) may deallocate; blocks that are unmapped read as anything.
      return page(code, [0, discards ? 0xe0 : 0, discards ? 2 : 0, 0])
    default:
      return null
  }
}

/** READ CAPACITY(10). */
export const capacity10 = (blocks: number, blockBytes: number): Uint8Array =>
  Uint8Array.of(...be32(Math.min(blocks - 1, 0xffff_ffff)), ...be32(blockBytes))

/** READ CAPACITY(16). */
export function capacity16(blocks: number, { blockBytes, physicalBlockBytes, discards }: BlockProperties): Uint8Array {
  const exponent = Math.min(15, Math.log2(physicalBlockBytes / blockBytes))
  const bytes = [...be64(blocks - 1), ...be32(blockBytes), 0, exponent, discards ? 0x80 : 0, 0]
  return Uint8Array.of(...bytes, ...new Uint8Array(16))
}

const RECOVERY = [0x01, 10, 0x80, ...new Uint8Array(9)]
const CACHING = [0x08, 18, 0x04, ...new Uint8Array(17)]
const CONTROL = [0x0a, 10, 0, 0x10, ...new Uint8Array(8)]

/**
 * MODE SENSE: error recovery, caching (there is a write cache) and control.
 *
 * @param code - 0x3F: all
 * @param changeable - asks which bits may be changed: none
 * @returns null for a page that is not there
 */
export function modePages(
  code: number,
  { readOnly }: BlockProperties,
  { changeable, long }: { readonly changeable: boolean; readonly long: boolean },
): Uint8Array | null {
  const wanted = [RECOVERY, CACHING, CONTROL].filter(([found]) => code === 0x3f || found === code)
  if (wanted.length === 0) return null
  const bytes = wanted.flatMap((given) => given.map((value, i) => (changeable && i >= 2 ? 0 : value)))
  // Write protection; forced unit access is known.
  const flags = (readOnly ? 0x80 : 0) | 0x10
  if (long) return Uint8Array.of(...be16(bytes.length + 6), 0, flags, 0, 0, 0, 0, ...bytes)
  return Uint8Array.of(bytes.length + 3, 0, flags, 0, ...bytes)
}
