import { x87Arithmetic } from './x87-arithmetic.ts'
import { x87Control } from './x87-control.ts'
import { x87Scale } from './x87-scale.ts'
import { x87Logarithm } from './x87-logarithm.ts'
import { x87Trigonometry } from './x87-trigonometry.ts'
import { x87Transfers } from './x87-transfer.ts'
import type { SemanticsTable } from './table.ts'

/**
 * The x87 unit, save for what moves its whole state (FLDENV, FNSTENV, FRSTOR, FNSAVE, FXSAVE and so on), which TypeScript
 * handlers do.
 */
export const x87: SemanticsTable = {
  ...x87Control,
  ...x87Transfers,
  ...x87Arithmetic,
  ...x87Scale,
  ...x87Logarithm,
  ...x87Trigonometry,
}
