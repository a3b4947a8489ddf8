import type { Words } from '../state/host.ts'
import * as R from '../state/record.ts'
import { VECTOR_GP, VECTOR_SS } from '../state/vectors.ts'
import { FS, SEG_BASE, SS } from '../state/state-layout.ts'
import { segmentOf } from './operands.ts'
import type { System } from './system.ts'

/**
 * Addresses of the elements of a memory operand, for instructions that make an access for each of them and none for those
 * that a mask leaves out: each is checked against its segment by itself.
 */

/** The common part of all elements' addresses: base, displacement, and index where that is a general register. */
const common: Words = { lo: 0, hi: 0 }

function add(into: Words, lo: number, hi: number): void {
  const sum = into.lo + (lo >>> 0)
  into.lo = sum >>> 0
  into.hi = (into.hi + hi + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
}

/** Starts on the operand of an instruction. With a vector of indices R_INDEX names a register that is always zero. */
export function startElements(s: System, record: number): void {
  const { u8, u16, u32 } = s.cpu.memory
  const base = u16[(record + R.R_BASE) >>> 1]!
  const index = u16[(record + R.R_INDEX) >>> 1]!
  const displacement = u32[(record + R.R_DISP) >>> 2]! | 0
  common.lo = s.get(base)
  common.hi = s.get(base + 4)
  addScaled(common, s.get(index), s.get(index + 4), u8[record + R.R_SCALE]!)
  add(common, displacement, displacement >> 31)
}

function addScaled(into: Words, lo: number, hi: number, scale: number): void {
  if (scale === 0) add(into, lo, hi)
  else add(into, lo << scale, (hi << scale) | (lo >>> (32 - scale)))
}

/** Cuts an offset down to the address size. */
function truncate(s: System, record: number, offset: Words): void {
  const kind = s.cpu.memory.u8[record + R.R_ADDRESS]!
  if ((kind & R.ADDRESS_16) !== 0) offset.lo &= 0xffff
  if ((kind & (R.ADDRESS_16 | R.ADDRESS_32 | R.ADDRESS_CHECKED)) !== 0) offset.hi = 0
}

const element: Words = { lo: 0, hi: 0 }

/** Linear address of the element of a gather that has an index, into `linLo` and `linHi`: each is an address of its own. */
export function locateIndexed(
  s: System,
  record: number,
  lo: number,
  hi: number,
  scale: number,
  size: number,
  write = false,
): void {
  element.lo = common.lo
  element.hi = common.hi
  addScaled(element, lo, hi, scale)
  truncate(s, record, element)
  s.linear(segmentOf(s, record), element.lo, element.hi, size, write)
}

/** Linear address of the operand itself, into `linLo` and `linHi`, whatever its segment allows. */
export function locateUnchecked(s: System, record: number): void {
  element.lo = common.lo
  element.hi = common.hi
  truncate(s, record, element)
  const segment = segmentOf(s, record)
  if (!s.mode64 || segment >= FS) {
    add(element, s.segmentField(segment, SEG_BASE), s.mode64 ? s.segmentField(segment, SEG_BASE + 4) : 0)
  }
  s.linLo = element.lo
  s.linHi = s.mode64 ? element.hi : 0
}

/** Linear address of the part of one operand at a distance in bytes, into `linLo` and `linHi`. */
export function locatePart(s: System, record: number, distance: number, size: number, write: boolean): void {
  element.lo = common.lo
  element.hi = common.hi
  truncate(s, record, element)
  add(element, distance, 0)
  const segment = segmentOf(s, record)
  // Beyond any limit.
  if (!s.mode64 && element.hi !== 0) s.raise(segment === SS ? VECTOR_SS : VECTOR_GP, 0)
  s.linear(segment, element.lo, element.hi, size, write)
}
