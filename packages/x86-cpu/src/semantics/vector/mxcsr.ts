import { I32, I64, select, type FunctionBuilder, type V128 } from '@retrap/wasm-emitter'
import { S_CR4, S_MXCSR } from '../../state/state-layout.ts'
import { CR4_OSXMMEXCPT } from '../../state/architecture.ts'
import { VECTOR_UD, VECTOR_XM } from '../../state/vectors.ts'
import type { Context } from '../context.ts'
import * as F from '../float-scratch.ts'
import {
  FC_DAZ,
  FC_FTZ,
  FC_ROUNDING_SHIFT,
  FE_DENORMAL,
  FE_INVALID,
  FE_ZERO_DIVIDE,
  type SharedFunction,
} from '@retrap/soft-float'

/**
 * MXCSR around an operation by software: its masks and rounding before, the exceptions that it raised after.
 *
 * Source: Intel SDM vol. 1, "SIMD Floating-Point Exceptions".
 */

const EXCEPTIONS = 0x3f

/** (state): nothing raised yet; F_CONTROL as MXCSR has it. */
function begin(c: Context): SharedFunction {
  return c.shared('sse.begin', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const mxcsr = f.load('i32.load', state, S_MXCSR)
    f.store('i32.store', state, I32.of(0), F.F_FLAGS)
    const control = mxcsr
      .shrU(F.MXCSR_MASKS_SHIFT)
      .and(EXCEPTIONS)
      .or(mxcsr.shrU(F.MXCSR_RC_SHIFT).and(3).shl(FC_ROUNDING_SHIFT))
      .or(mxcsr.and(F.MXCSR_DAZ).shl(Math.log2(FC_DAZ / F.MXCSR_DAZ)))
      .or(mxcsr.and(F.MXCSR_FTZ).shrU(Math.log2(F.MXCSR_FTZ / FC_FTZ)))
    f.store('i32.store', state, control, F.F_CONTROL)
  })
}

/** (state) → the exception to raise, or 0. The exceptions are in MXCSR then. */
export function commit(c: Context): SharedFunction<'i32'> {
  return c.shared('sse.commit', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const flags = f.local('i32')
    f.set(flags, f.loadExpression('i32.load', state, F.F_FLAGS).and(EXCEPTIONS))
    const masks = f.load('i32.load', state, F.F_CONTROL)
    const unmasked = f.let(flags.get.and(masks.xor(-1)))
    // Exceptions that are found before the computation keep those of its result from being seen.
    const before = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE
    f.if(unmasked.and(before), () => f.set(flags, flags.get.and(before)))
    f.store('i32.store', state, f.loadExpression('i32.load', state, S_MXCSR).or(flags.get), S_MXCSR)
    const enabled = f.loadExpression('i32.load', state, S_CR4).and(CR4_OSXMMEXCPT)
    f.return(select(unmasked, select(enabled, I32.of(VECTOR_XM), I32.of(VECTOR_UD)), I32.of(0)))
  })
}

/** Runs `compute` between begin and commit, inside a function that returns the exception; its value goes to F_TEMPORARY. */
export function guarded(c: Context, f: FunctionBuilder, state: I32, compute: () => I64 | readonly V128[]): void {
  f.call(begin(c), state)
  const value = compute()
  if (value instanceof I64) f.store('i64.store', state, value, F.F_TEMPORARY)
  else value.forEach((lane, i) => f.store('v128.store', state, lane, F.F_TEMPORARY + 16 * i))
  f.return(f.call(commit(c), state))
}
