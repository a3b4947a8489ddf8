import type { BlockProperties } from '@retrap/device'
import { bytes16, bytes32, bytes64, text } from './fields.ts'

// The answers of a disk. Numbers are big-endian; lengths in headers do not count themselves.

/** Recommended largest transfer: usually also the limit of one command. */
export const MOST_TRANSFER_BYTES: number = 4 << 20
/** Most ranges of one UNMAP. */
export const MOST_RANGES = 256
/** Most blocks of all ranges of one UNMAP, and of one WRITE SAME. */
export const MOST_RANGE_BLOCKS = 0x40_0000

/**
 * INQUIRY (SPC-4, "Standard INQUIRY data").
 *
 * @param queue - whether the host may have several commands under way
 */
export function inquiry(model: string, queue: boolean): Uint8Array {
  const names = [...text('RETRAP', 8), ...text(model, 16), ...text('1.0', 4)]
  return Uint8Array.of(0, 0, 0x06, 0x12, 31, 0, 0, queue ? 0x02 : 0, ...names)
}

const page = (code: number, bytes: readonly number[]): Uint8Array =>
  Uint8Array.of(0, code, ...bytes16(bytes.length), ...bytes)

/**
 * INQUIRY of vital product data (SPC-4, "Vital product data parameters"; SBC-3, "Vital product data parameters").
 *
 * @param most - most blocks of one command
 * @returns null for an unsupported page
 */
export function productData(
  code: number,
  {
    serial,
    most,
    properties,
  }: { readonly serial: string; readonly most: number; readonly properties: BlockProperties },
): Uint8Array | null {
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
      const best = Math.min(most, Math.floor(MOST_TRANSFER_BYTES / blockBytes))
      const unmap = discards
        ? [...bytes32(MOST_RANGE_BLOCKS), ...bytes32(MOST_RANGES), ...bytes32(physicalBlockBytes / blockBytes)]
        : [...bytes32(0), ...bytes32(0), ...bytes32(0)]
      return page(code, [
        // WSNZ: WRITE SAME with zero blocks does not mean the whole medium.
        ...[1, 0, ...bytes16(1), ...bytes32(most), ...bytes32(best)],
        ...[...bytes32(0), ...unmap, ...bytes32(discards ? 0x8000_0000 : 0), ...bytes64(MOST_RANGE_BLOCKS)],
        ...new Uint8Array(20),
      ])
    }
    case 0xb1:
      // Non-rotating medium.
      return page(code, [...bytes16(1), ...new Uint8Array(58)])
    case 0xb2:
      // UNMAP, WRITE SAME(16) and (10) may deallocate; blocks that are unmapped read as anything.
      return page(code, [0, discards ? 0xe0 : 0, discards ? 2 : 0, 0])
    default:
      return null
  }
}

/** READ CAPACITY(10). */
export const capacity10 = (blocks: number, blockBytes: number): Uint8Array =>
  Uint8Array.of(...bytes32(Math.min(blocks - 1, 0xffff_ffff)), ...bytes32(blockBytes))

/** READ CAPACITY(16). */
export function capacity16(blocks: number, { blockBytes, physicalBlockBytes, discards }: BlockProperties): Uint8Array {
  const exponent = Math.min(15, Math.log2(physicalBlockBytes / blockBytes))
  const bytes = [...bytes64(blocks - 1), ...bytes32(blockBytes), 0, exponent, discards ? 0x80 : 0, 0]
  return Uint8Array.of(...bytes, ...new Uint8Array(16))
}

/** READ FORMAT CAPACITIES (MMC-5): the one medium is formatted. */
export const formatCapacities = (blocks: number, blockBytes: number): Uint8Array =>
  Uint8Array.of(0, 0, 0, 8, ...bytes32(Math.min(blocks, 0xffff_ffff)), 2, ...bytes32(blockBytes).slice(1))

/** Mode pages (SPC-4, SBC-3): error recovery, caching (there is a write cache) and control. */
export const DISK_PAGES: readonly (readonly number[])[] = [
  [0x01, 10, 0x80, ...new Uint8Array(9)],
  [0x08, 18, 0x04, ...new Uint8Array(17)],
  [0x0a, 10, 0, 0x10, ...new Uint8Array(8)],
]
