import type { FunctionBuilder, I32 } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../state-layout.ts'

/** Bits of MXCSR, and what they let an operation do. Source: Intel SDM vol. 1, "MXCSR Control and Status Register". */

export const MXCSR_DAZ = 0x40
export const MXCSR_MASKS_SHIFT = 7
export const MXCSR_RC_SHIFT = 13
export const MXCSR_FTZ = 0x8000

const MXCSR_PE = 0x20
const MXCSR_PM = 0x1000
/** All of them; rounding to nearest is 0. */
const MXCSR_RC: number = 3 << MXCSR_RC_SHIFT

/** 1 if an inexact result, rounded to nearest, changes nothing in MXCSR and raises nothing. */
export function isRoundingSettled(f: FunctionBuilder, state: I32): I32 {
  return f
    .loadExpression('i32.load', state, S_MXCSR)
    .and(MXCSR_PE | MXCSR_PM | MXCSR_RC)
    .eq(MXCSR_PE | MXCSR_PM)
}

/** 1 if an inexact result changes nothing, however it is rounded. */
export function isPrecisionSettled(f: FunctionBuilder, state: I32): I32 {
  return f
    .loadExpression('i32.load', state, S_MXCSR)
    .and(MXCSR_PE | MXCSR_PM)
    .eq(MXCSR_PE | MXCSR_PM)
}
