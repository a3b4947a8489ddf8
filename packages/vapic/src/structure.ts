/**
 * The structure by which an option ROM tells of itself, and its bounds.
 *
 * Everything in it is the guest's to write, so it is checked each time it is read: nothing that it names may be outside the
 * ROM.
 *
 * Source: the kvmvapic option ROM's interface.
 */
import { check } from './arguments.ts'

/** Counts the bytes of our own ROM: 24 blocks of 512. */
export const ROM_BYTES = 0x3000

/** Offset of the structure in our own ROM. */
export const ROM_STRUCTURE = 0x20

/** Port of the interface. */
export const VAPIC_PORT = 0x7e

/** "kvm aPiC". */
export const SIGNATURE: readonly number[] = [0x6b, 0x76, 0x6d, 0x20, 0x61, 0x50, 0x69, 0x43]

// Offsets of fields in the structure.
export const FIELD_SELF = 0x08
const FIELD_FIXUP_START = 0x0c
const FIELD_FIXUP_END = 0x10
const FIELD_AREA = 0x14
const FIELD_AREA_BYTES = 0x18
export const FIELD_SHIFT = 0x1c
export const FIELD_REAL_TPR = 0x20
const FIELD_UP = 0x24
const FIELD_MP = 0x50
export const STRUCTURE_BYTES = 0x7c

/** log2 of the bytes of one vCPU's record. */
export const RECORD_SHIFT = 7
/** Bytes of a record that are used: TPR, ISR, zero, IRR, enabled. */
export const RECORD_BYTES = 5
/** Offset of the enabled byte in a record. */
export const RECORD_ENABLED = 4
/** Our own ROM's helpers count their calls here, in a dword that the interface leaves alone. */
export const RECORD_CALLS = 8
/** The mark behind the structure of a ROM that counts calls: "rCnt". */
export const CALLS_SIGNATURE: readonly number[] = [0x72, 0x43, 0x6e, 0x74]

/** Addresses of a set of handlers; 0: none. */
export interface Handlers {
  /** Sets the priority to a value on the stack, which it removes. */
  readonly set: number
  /** Sets the priority to EAX. */
  readonly setEax: number
  /** EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI. */
  readonly get: readonly number[]
  /** Replaces the dword below its return address by the priority. */
  readonly getStack: number
}

/** The structure's fields. Addresses are linear, once the fixups are made. */
export interface RomStructure {
  /** Own address. */
  readonly self: number
  /** Address of the fixup table. */
  readonly fixupStart: number
  /** Address behind the fixup table. */
  readonly fixupEnd: number
  /** Address of the first record. */
  readonly area: number
  /** Bytes of all records. */
  readonly areaBytes: number
  /** Logarithm of a record's size. */
  readonly shift: number
  /** Linear address of the task priority register. */
  readonly realTpr: number
  /** Helpers for a single processor. */
  readonly up: Handlers
  /** Helpers for several processors. */
  readonly mp: Handlers
}

function readHandlers(bytes: Uint8Array, at: number): Handlers {
  return {
    set: word(bytes, at),
    setEax: word(bytes, at + 4),
    get: Array.from({ length: 8 }, (_, register) => word(bytes, at + 8 + register * 4)),
    getStack: word(bytes, at + 0x28),
  }
}

/** Reads the structure; undefined without its signature. */
export function readStructure(bytes: Uint8Array): RomStructure | undefined {
  check.bytes('bytes', bytes)
  if (bytes.length < STRUCTURE_BYTES || SIGNATURE.some((byte, index) => bytes[index] !== byte)) return undefined
  return {
    self: word(bytes, FIELD_SELF),
    fixupStart: word(bytes, FIELD_FIXUP_START),
    fixupEnd: word(bytes, FIELD_FIXUP_END),
    area: word(bytes, FIELD_AREA),
    areaBytes: word(bytes, FIELD_AREA_BYTES),
    shift: word(bytes, FIELD_SHIFT),
    realTpr: word(bytes, FIELD_REAL_TPR),
    up: readHandlers(bytes, FIELD_UP),
    mp: readHandlers(bytes, FIELD_MP),
  }
}

/** A range of an image. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Whether `bytes` from `at` on are in a range. */
export const within = ({ start, end }: Range, at: number, bytes: number): boolean =>
  at >= start && bytes >= 0 && at + bytes <= end

/**
 * Returns the offsets in the ROM of the addresses that the fixup table names; undefined if one is outside it, or the
 * table is.
 *
 * @param rom - the ROM's bytes
 * @param structureAt - offset of the structure
 * @param base - present origin of the structure's addresses: the ROM's first byte
 */
export function fixupOffsets(rom: Uint8Array, structureAt: number, base: number): number[] | undefined {
  const structure = readStructure(rom.subarray(structureAt))
  if (structure === undefined) return undefined
  const image: Range = { start: 0, end: rom.length }
  const start = (structure.fixupStart - base) >>> 0
  const end = (structure.fixupEnd - base) >>> 0
  if (end < start || (end - start) % 4 !== 0 || !within(image, start, end - start)) return undefined
  const offsets: number[] = []
  for (let at = start; at < end; at += 4) {
    const offset = (structureAt + word(rom, at)) >>> 0
    if (!within(image, offset, 4)) return undefined
    offsets.push(offset)
  }
  return offsets
}

/** Reads four bytes, little-endian, as an unsigned number; bytes beyond the end are 0. */
export function word(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4)
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}

/** Whether the bytes at an offset are these. */
export function matches(bytes: Uint8Array, at: number, expected: ArrayLike<number>): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
  return true
}
