import { alu } from './alu.ts'
import { avx } from './avx.ts'
import { bitOperations } from './bits.ts'
import { control } from './control.ts'
import { decimal } from './decimal.ts'
import { fma } from './fma.ts'
import { flagControl } from './flag-control.ts'
import { move } from './move.ts'
import { multiplication } from './multiply.ts'
import { shifts } from './shift.ts'
import { sseFloat } from './sse-float.ts'
import { sseInteger } from './sse-integer.ts'
import { strings } from './string.ts'
import { x87 } from './x87.ts'
import type { SemanticsTable } from './table.ts'

/** All operations by mnemonic, string instructions aside. */
export const instructionSemantics: SemanticsTable = {
  ...alu,
  ...avx,
  ...bitOperations,
  ...control,
  ...decimal,
  ...flagControl,
  ...fma,
  ...move,
  ...multiplication,
  ...shifts,
  ...sseFloat,
  ...sseInteger,
  ...x87,
}

/** String instructions: MOVSD and CMPSD name vector instructions too. */
export const stringSemantics: SemanticsTable = strings
