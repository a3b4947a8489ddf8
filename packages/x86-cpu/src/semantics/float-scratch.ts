import {
  DEFAULT_NAN,
  F_CONTROL as CONTROL,
  F_EXTRA as EXTRA,
  F_FLAGS as FLAGS,
  F_TEMPORARY as TEMPORARY,
  F_WORD as WORD,
  raiseFlags as raise,
  roundingMode as modeOf,
  SLOT_A as A,
  SLOT_B as B,
  SLOT_C as C,
  SLOT_R as R,
  type FloatRules,
} from '@retrap/soft-float'
import type { FunctionBuilder, I32, I32Like } from '@retrap/wasm-emitter'
import { S_SCRATCH, S_MXCSR } from '../state/state-layout.ts'

/** The scratch area of `@retrap/soft-float` in the state, by offsets from its beginning. */

export const F_FLAGS: number = S_SCRATCH + FLAGS
export const F_CONTROL: number = S_SCRATCH + CONTROL
export const F_WORD: number = S_SCRATCH + WORD
export const F_EXTRA: number = S_SCRATCH + EXTRA
export const F_TEMPORARY: number = S_SCRATCH + TEMPORARY
export const SLOT_A: number = S_SCRATCH + A
export const SLOT_B: number = S_SCRATCH + B
export const SLOT_C: number = S_SCRATCH + C
export const SLOT_R: number = S_SCRATCH + R

/** The default NaN's significand ("real indefinite"); its sign is set. */
export const INDEFINITE: bigint = DEFAULT_NAN

/** Source: Intel SDM vol. 1, "Rules for Handling NaNs", "Numeric Underflow Exception", "Denormal Operand Exception". */
export const FLOAT_RULES: FloatRules = {
  defaultNanSign: 1,
  survivingNan: 'first',
  addendFirst: false,
  invalidProductFirst: false,
  tininess: 'after-rounding',
  denormalOperand: 'raises',
  flushedIsInexact: true,
  // VCVTPH2PS and VCVTPS2PH take no notice of DAZ and FTZ.
  flushesHalf: false,
}

const AREA = { floatScratch: S_SCRATCH }

/** Adds to what has been raised. */
export function raiseFlags(f: FunctionBuilder, state: I32, flags: I32Like): void {
  raise(AREA, f, state, flags)
}

/** Rounding control: `ROUND_*`. */
export const roundingMode = (f: FunctionBuilder, state: I32): I32 => modeOf(AREA, f, state)

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
