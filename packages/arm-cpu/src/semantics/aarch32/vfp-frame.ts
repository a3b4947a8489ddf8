import { numeric, V128, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { bitsOfFlags } from '../flags.ts'
import { FPCR_AHP, FPCR_DN, FPCR_FZ16_SHIFT, FPCR_FZ_SHIFT } from '../../state/float-rules.ts'
import { R_D, R_FORM } from '../../state/record.ts'
import { S_FPCR, S_FPSR } from '../../state/state-layout.ts'
import type { VectorPlan } from './vfp-record.ts'
import type { A32Semantics } from './semantics.ts'
import { vectorBytes } from '../vector/lanes.ts'

/**
 * The code around a form of A64 that computes the result of an AArch32 instruction. Such a form writes whole vector registers,
 * while an instruction of AArch32 leaves what is beside its register as it was; and Advanced SIMD of AArch32 has its own
 * rules of floating point.
 */

/** The part of a register that the form writes: the whole, or more than the lowest 8, 4 or 2 bytes. */
export const FRAME_WHOLE = 0
export const FRAME_8 = 1
export const FRAME_4 = 2
export const FRAME_2 = 3
/** Added: the form computes by the standard value of FPSCR. */
export const FRAME_STANDARD = 4
/** Lowest 4 bytes; PSTATE's flags after the form become FPSCR's. */
export const FRAME_FLAGS = 8
/** Number of frames. */
const FRAMES = 9

const BYTES: readonly number[] = [16, 8, 4, 2]

/**
 * FPCR as Advanced SIMD of AArch32 has it: flushed to zero, default NaN, to nearest; half precision is FPSCR's own affair.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "StandardFPCR".
 */
const KEPT: number = FPCR_AHP | (1 << FPCR_FZ16_SHIFT)
const STANDARD: number = FPCR_DN | (1 << FPCR_FZ_SHIFT)

/** Emits stores of FPCR's standard value; returns a function that emits the restore. */
function withStandard(c: ArmContext): () => void {
  const { f, state } = c
  const before = f.load('i32.load', state, S_FPCR)
  f.store('i32.store', state, before.and(KEPT).or(STANDARD), S_FPCR)
  return () => f.store('i32.store', state, before, S_FPCR)
}

/** Turns PSTATE's flags into FPSCR's; returns a function that emits the restore. */
function withFlags(c: ArmContext): () => void {
  const { f, state } = c
  const { n, z, c: carry, v } = c.flags
  // The flags are in the state, where the form overwrites them.
  const before = { n: f.let(n), z: f.let(z), c: f.let(carry), v: f.let(v) }
  return () => {
    const bits = f.let(bitsOfFlags(c.flags))
    const status = f.loadExpression('i32.load', state, S_FPSR).and(0x0fff_ffff)
    f.store('i32.store', state, status.or(bits), S_FPSR)
    c.setFlags(before)
  }
}

/** Saves the bytes beside the register; returns a function that emits the restore. */
function withBytes(c: ArmContext, bytes: number): () => void {
  const { f } = c
  const at = f.let(c.state.add(f.loadExpression('i32.load16_u', c.record, R_D)))
  if (bytes === 8) {
    const above: I64 = f.load('i64.load', at, 8)
    return () => f.store('i64.store', at, above, 8)
  }
  const before = f.load('v128.load', at)
  const written = V128.of(vectorBytes((i) => (i < bytes ? 0xff : 0)))
  return () => f.store('v128.store', at, numeric('v128.bitselect', f.load('v128.load', at), before, written))
}

/** Calls the form that the record names, in a frame. A form that accesses memory, and so may fail, writes all by itself. */
function emitFramed(c: ArmContext, frame: number): void {
  // The form may read the flags.
  c.usesFlags = true
  const bytes = frame === FRAME_FLAGS ? 4 : BYTES[frame & 3]!
  const ends = [
    ...(bytes === 16 ? [] : [withBytes(c, bytes)]),
    ...(frame === FRAME_FLAGS ? [withFlags(c)] : []),
    ...((frame & FRAME_STANDARD) === 0 ? [] : [withStandard(c)]),
  ]
  c.callForm(R_FORM)
  for (const end of ends) end()
}

/** Instructions computed by an A64 form or a similar one. They share that form's code, and differ only in their records. */
export const planned = (plan: (word: number) => VectorPlan | undefined): A32Semantics => ({
  selectors: '',
  shared: 'framed',
  kinds: FRAMES,
  keepsTarget: true,
  plan,
  emit: (c, { kind }) => emitFramed(c, kind),
})
