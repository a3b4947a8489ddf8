import { x87Arithmetic } from './x87-arithmetic.ts'
import { x87Control } from './x87-control.ts'
import { x87Scale } from './x87-scale.ts'
import { x87Exponential } from './x87-exponential.ts'
import { x87Logarithm } from './x87-logarithm.ts'
import { x87Trigonometry } from './x87-trigonometry.ts'
import { x87Arctangent } from './x87-arctangent.ts'
import { x87Loads } from './x87-load.ts'
import { x87Moves } from './x87-move.ts'
import { x87Stores } from './x87-store.ts'
import type { SemanticsTable } from './table.ts'

/**
 * The x87 unit, save for what moves its whole state (FLDENV, FNSTENV, FRSTOR, FNSAVE, FXSAVE and so on), which TypeScript
 * handlers do.
 */
export const x87: SemanticsTable = {
  ...x87Control,
  ...x87Loads,
  ...x87Stores,
  ...x87Moves,
  ...x87Arithmetic,
  ...x87Scale,
  ...x87Exponential,
  ...x87Logarithm,
  ...x87Trigonometry,
  ...x87Arctangent,
}
