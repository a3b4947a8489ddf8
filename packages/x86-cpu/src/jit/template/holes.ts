import { I32, I64 } from '@retrap/wasm-emitter'
import type { ByteWriter } from '@retrap/wasm-emitter'

/**
 * The parts that are left open in a template. While it is evaluated, constants stand for what an instruction will have there;
 * nothing else has their values.
 */

// Constants of an instruction.
/** The immediate. */
export const HOLE_IMMEDIATE = 0
/** The displacement. */
export const HOLE_DISPLACEMENT = 1
/** The instruction's offset in its page. */
export const HOLE_OFFSET = 2
/** Length. */
export const HOLE_LENGTH = 3
/** The linear address of its page. */
export const HOLE_PAGE_BASE = 4

const I32_CONST = 0x41
const I64_CONST = 0x42
const HOLES_32 = 0x5aed_0000
const HOLES_64 = 0x5aed_71c3_0000_0000n
/** More than there are holes of any kind. */
const RANGE = 0x100
/** Fields of registers: those of one register lie within this many bytes. */
const FIELD_BYTES = 0x1000
/** General registers that an instruction names: beyond the state. */
const GENERAL = 0x5b00_0000
/** Other registers that it names. */
const OTHERS = 0x5c00_0000
/** Registers that an instruction names at most. */
export const MOST_NAMED = 5

const emit32 =
  (value: number) =>
  (out: ByteWriter): void => {
    out.u8(I32_CONST)
    out.leb32(value)
  }

/** A constant of 64 bits. @param isNarrow - its 32 low bits are sign-extended */
export function hole64(hole: number, isNarrow: boolean): I64 {
  const value = new I64(
    (out) => {
      out.u8(I64_CONST)
      out.leb64(HOLES_64 + BigInt(hole))
    },
    undefined,
    undefined,
    () => hole32(hole),
  )
  return isNarrow ? value.knownExtended(true) : value
}

/** The low 32 bits of a constant. */
export function hole32(hole: number): I32 {
  return new I32(emit32(HOLES_32 + hole))
}

/** The constant that an `i64.const` leaves open; -1 for others. */
export function holeOf64(value: bigint): number {
  const hole = value - HOLES_64
  return hole >= 0n && hole < BigInt(RANGE) ? Number(hole) : -1
}

/** The constant whose low bits an `i32.const` leaves open; -1 for others. */
export function holeOf32(value: number): number {
  const hole = value - HOLES_32
  return hole >= 0 && hole < RANGE ? hole : -1
}

/** The offset in the state that stands for a general register that an instruction names. */
export function generalField(named: number): number {
  return GENERAL + 8 * named
}

/** Which general register that an instruction names has a byte at an offset; -1 of other fields. */
export function generalAt(offset: number): number {
  const at = offset - GENERAL
  return at >= 0 && at < 8 * MOST_NAMED ? at >>> 3 : -1
}

/** The offset in the state that stands for another register that an instruction names. */
export function otherField(named: number): number {
  return OTHERS + FIELD_BYTES * named
}

/** Which other register that an instruction names has a byte at an offset, and which byte. */
export function otherAt(offset: number): { readonly named: number; readonly byte: number } | undefined {
  const at = offset - OTHERS
  const named = Math.floor(at / FIELD_BYTES)
  return at >= 0 && named < MOST_NAMED ? { named, byte: at % FIELD_BYTES } : undefined
}
