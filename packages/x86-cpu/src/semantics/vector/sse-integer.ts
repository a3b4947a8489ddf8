import { integerArithmetic } from './sse-integer-arithmetic.ts'
import { integerMoves } from './sse-integer-move.ts'
import { integerShifts } from './sse-integer-shift.ts'
import { integerShuffles } from './sse-integer-shuffle.ts'
import { integerStrings } from './sse-integer-string.ts'
import type { SemanticsTable } from '../context.ts'

/** Integer instructions of MMX and of SSE to SSE4.2, by mnemonic. */
export const sseInteger: SemanticsTable = {
  ...integerArithmetic,
  ...integerMoves,
  ...integerShifts,
  ...integerShuffles,
  ...integerStrings,
}
