import { I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { fieldOf, valueOf, type ArmForm } from '../state/form.ts'
import type { Semantics } from './semantics.ts'
import { extendedFrom } from './vector/lanes.ts'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT } from '../state/access-rights.ts'

/** Whether a form uses 64-bit registers: by its field `f`, or by the name of its first register. */
export function isWide(form: ArmForm): boolean {
  return form.row.fields.has('f') ? valueOf(form, 'f') === 1 : form.row.operands.startsWith('<X')
}

/** Bits of a register. */
export const bitsOf = (wide: boolean): number => (wide ? 64 : 32)

/** The value of a register, with its sign in bit 63. */
export const signed = (value: I64, wide: boolean): I64 => (wide ? value : value.extend32S())

/** Returns the low 32 bits, or all 64. */
export const truncated = (value: I64, wide: boolean): I64 => (wide ? value : value.toI32().toI64U())

/** LSL, LSR, ASR and ROR, as encodings number them, by an amount that is less than the width. */
export function shifted(value: I64, kind: number, amount: I64, wide: boolean): I64 {
  switch (kind) {
    case 0:
      return wide ? value.shl(amount) : value.toI32().shl(amount.toI32()).toI64U()
    case 1:
      return value.shrU(amount)
    case 2:
      return wide ? value.shrS(amount) : value.toI32().shrS(amount.toI32()).toI64U()
    default:
      return wide ? rotatedRight(value, amount) : value.toI32().rotr(amount.toI32()).toI64U()
  }
}

/** Rotates 64 bits right. */
export function rotatedRight(value: I64, amount: I64): I64 {
  return value.rotl(I64.of(0).sub(amount))
}

/** UXTB, UXTH, UXTW, UXTX, SXTB, SXTH, SXTW, SXTX, as encodings number them. */
export const extended = (value: I64, option: number): I64 => extendedFrom(value, 8 << (option & 3), (option & 4) !== 0)

/** An instruction whose second operand is a register, shifted by an amount that the instruction has. */
export const withShiftedRegister = (operate: (c: ArmContext, form: ArmForm, operand: I64) => void): Semantics => ({
  selectors: 'fk',
  small: (row, word) => fieldOf(row, 's', word),
  emit(c, form) {
    const wide = isWide(form)
    operate(c, form, shifted(c.m(wide), valueOf(form, 'k'), c.small.toI64U(), wide))
  },
})

/** The operands that instructions on memory have in common. */

/** Returns the base register; raises the exception for a misaligned stack pointer. */
export function baseOf(c: ArmContext, form: ArmForm): I64 {
  const base = c.let(c.n(true))
  if (form.onStack) c.checkStackPointer(base)
  return base
}

/** Returns the kind of an access that must be aligned to its bytes. */
export const alignedKind = (bytes: number): number => ACCESS_ALIGNED | (Math.log2(bytes) << ACCESS_ELEMENT_SHIFT)
