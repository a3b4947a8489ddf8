import { aes } from './aes.ts'
import { alu } from './alu.ts'
import { avx } from './avx.ts'
import { bitOperations } from './bits.ts'
import { carryless } from './carryless.ts'
import { control } from './control.ts'
import { decimal } from './decimal.ts'
import { fma } from './fma.ts'
import { f16c } from './f16c.ts'
import { extendedState } from './extended-state.ts'
import { flagControl } from './flag-control.ts'
import { kernelEntry } from './kernel-entry.ts'
import { interruptReturns } from './interrupt-return.ts'
import { move } from './move.ts'
import { multiplication } from './multiply.ts'
import { sha } from './sha.ts'
import { shifts } from './shift.ts'
import { sseFloat } from './sse-float.ts'
import { sseInteger } from './sse-integer.ts'
import { strings } from './string.ts'
import { timeStamp } from './time-stamp.ts'
import { vnni } from './vnni.ts'
import { x87 } from './x87.ts'
import type { SemanticsTable } from './table.ts'

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
