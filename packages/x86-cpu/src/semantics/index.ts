import { aes } from './vector/aes.ts'
import { alu } from './alu.ts'
import { avx, sseInteger } from './vector/avx.ts'
import { bitOperations } from './bits.ts'
import { carryless } from './vector/carryless.ts'
import { control } from './control.ts'
import { decimal } from './decimal.ts'
import { fma } from './vector/fma.ts'
import { f16c } from './vector/f16c.ts'
import { extendedState } from './extended-state.ts'
import { flagControl } from './flag-control.ts'
import { kernelEntry } from './privileged/kernel-entry.ts'
import { interruptReturns } from './privileged/interrupt-return.ts'
import { move } from './move.ts'
import { multiplication } from './multiply.ts'
import { sha } from './vector/sha.ts'
import { shifts } from './shift.ts'
import { sseFloat } from './vector/sse-float.ts'
import { strings } from './strings/string.ts'
import { timeStamp } from './privileged/time-stamp.ts'
import { vnni } from './vector/vnni.ts'
import { gated, type SemanticsTable } from './context.ts'
import { x87Arithmetic } from './x87/arithmetic.ts'
import { x87Control } from './x87/control.ts'
import { x87Scale } from './x87/scale.ts'
import { x87Exponential } from './x87/exponential.ts'
import { x87Logarithm } from './x87/logarithm.ts'
import { x87Trigonometry } from './x87/trigonometry.ts'
import { x87Arctangent } from './x87/arctangent.ts'
import { x87Loads } from './x87/load.ts'
import { x87Moves } from './x87/move.ts'
import { enterX87 } from './x87/stack.ts'
import { x87Stores } from './x87/store.ts'

/**
 * The x87 unit, save for what moves its whole state (FLDENV, FNSTENV, FRSTOR, FNSAVE, FXSAVE and so on), which TypeScript
 * handlers do.
 */
export const x87: SemanticsTable = {
  ...x87Control,
  ...gated(enterX87, {
    ...x87Loads,
    ...x87Stores,
    ...x87Moves,
    ...x87Arithmetic,
    ...x87Scale,
    ...x87Exponential,
    ...x87Logarithm,
    ...x87Trigonometry,
    ...x87Arctangent,
  }),
}

/** All operations by mnemonic, string instructions aside. */
export const instructionSemantics: SemanticsTable = {
  ...aes,
  ...alu,
  ...avx,
  ...bitOperations,
  ...carryless,
  ...control,
  ...decimal,
  ...extendedState,
  ...f16c,
  ...flagControl,
  ...fma,
  ...interruptReturns,
  ...kernelEntry,
  ...move,
  ...multiplication,
  ...sha,
  ...shifts,
  ...sseFloat,
  ...sseInteger,
  ...timeStamp,
  ...vnni,
  ...x87,
}

/** String instructions: MOVSD and CMPSD name vector instructions too. */
export const stringSemantics: SemanticsTable = strings
