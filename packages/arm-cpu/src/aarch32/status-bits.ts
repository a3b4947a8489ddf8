import type { I32 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { S_PSTATE } from '../state-layout.ts'

/** PSTATE.Q and PSTATE.GE, which only AArch32 has. */

/** PSTATE.Q: something has been saturated, or has overflowed. */
const Q_SHIFT = 27
/** PSTATE.GE, four bits. */
const GE_SHIFT = 16
const GE: number = 15 << GE_SHIFT

/** Sets PSTATE.Q where a condition (0 or 1) holds. */
export function setQ({ f, state }: ArmContext, condition: I32): void {
  const before = f.loadExpression('i32.load', state, S_PSTATE)
  f.store('i32.store', state, before.or(condition.shl(Q_SHIFT)), S_PSTATE)
}

/** Sets PSTATE.GE to four bits. */
export function setGe({ f, state }: ArmContext, bits: I32): void {
  const before = f.loadExpression('i32.load', state, S_PSTATE)
  f.store('i32.store', state, before.and(~GE).or(bits.shl(GE_SHIFT)), S_PSTATE)
}

/** PSTATE.GE, in bits 3 to 0. */
export const ge = ({ f, state }: ArmContext): I32 => f.load('i32.load', state, S_PSTATE).shrU(GE_SHIFT).and(15)
