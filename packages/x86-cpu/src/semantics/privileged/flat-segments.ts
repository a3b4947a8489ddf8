import type { I32, I64 } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import { ATTR_DB, ATTR_DPL_SHIFT, ATTR_L, CR0_PE, EFER_LMA, FLAT_CODE } from '../../state/architecture.ts'
import type { Context } from '../context.ts'
import { field, segmentAt } from './privilege.ts'
import { attributesOf, descriptorReader } from './segment-registers.ts'

/**
 * The checks of code, stack and mode in the usual cases of interrupt delivery and of IRET. The instruction is left to its
 * handler where something else holds.
 */

/** DR7: the enable bits of all breakpoints. */
const DR7_ENABLES = 0xff
/** A descriptor's base and limit where the segment is all of 4 GiB from 0: which bits, and what they are. */
const EXTENT_MASK = 0xff0f_00ff_ffff_ffffn
const WHOLE = 0x000f_0000_0000_ffffn

/** Leaves the instruction to its handler on a condition. */
export function leaveIf(c: Context, condition: I32): void {
  c.f.if(condition, () => c.useHandler())
}

/** The enable bits of all breakpoints: zero where there is none. */
export function hasBreakpoints(c: Context): I32 {
  return field(c, S.S_DR + 8 * 7).and(DR7_ENABLES)
}

/** Whether a descriptor's segment is all of 4 GiB from 0, with a granularity of pages. */
export function isWhole(descriptor: I64): I32 {
  return descriptor.and(EXTENT_MASK).eq(WHOLE)
}

/** Requires flat code of the current size, of the level that its selector says. */
export function requireCode(c: Context, selector: I32, size: number): void {
  const descriptor = c.let(c.f.call(descriptorReader(c), c.state, selector) as I64)
  const level = selector.and(3).shl(ATTR_DPL_SHIFT)
  const isOther = attributesOf(descriptor).ne(level.or(FLAT_CODE | (size === 8 ? ATTR_L : ATTR_DB)))
  leaveIf(c, isOther.or(isWhole(descriptor).eqz()))
}

/** Requires a canonical address in 64-bit mode. */
export function requireCanonical(c: Context, target: I64, size: number): void {
  if (size !== 8) return
  const shift = c.let(c.f.loadExpression('i64.load', c.state, S.S_CANONICAL_SHIFT))
  leaveIf(c, target.shl(shift).shrS(shift).ne(target))
}

/** Requires flat 32-bit code outside IA-32e mode. */
export function requireFlat32(c: Context): void {
  const isOther = field(c, S.S_MODE)
    .ne(S.MODE_32)
    .or(field(c, S.S_EFER).and(EFER_LMA))
    .or(field(c, S.S_CR0).and(CR0_PE).eqz())
  const isMoved = field(c, segmentAt(S.CS, S.SEG_BASE)).or(field(c, segmentAt(S.CS, S.SEG_LIMIT)).ne(-1))
  leaveIf(c, isOther.or(isMoved))
}

/** Requires 64-bit mode, or with a size of 4 flat 32-bit code outside IA-32e mode on a flat stack. */
export function requireMode(c: Context, size: number): void {
  if (size === 8) {
    leaveIf(c, field(c, S.S_MODE).ne(S.MODE_64))
    return
  }
  requireFlat32(c)
  leaveIf(c, c.f.loadExpression('i32.load8_u', c.state, segmentAt(S.SS, S.SEG_RIGHTS)).and(S.SEG_FLAT).eqz())
}
