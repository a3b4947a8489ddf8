import type { I64 } from '@retrap/wasm-emitter'
import { valueOf } from '../form.ts'
import type { ArmForm } from '../form.ts'

/** Whether a form works on 64-bit registers: its field `f` says so, or else the name of its first register. */
export function isWide(form: ArmForm): boolean {
  return form.row.fields.has('f') ? valueOf(form, 'f') === 1 : form.row.operands.startsWith('<X')
}

/** Bits of a register. */
export const bitsOf = (wide: boolean): number => (wide ? 64 : 32)

/** The value of a register, with its sign in bit 63. */
export const signed = (value: I64, wide: boolean): I64 => (wide ? value : value.extend32S())

/** The low 32 bits, or all. */
export const truncated = (value: I64, wide: boolean): I64 => (wide ? value : value.toI32().toI64U())
