import { exitNumber } from './exit-reasons.ts'
import type { ExitReason } from './exit-reasons.ts'

// The detail of an exit, 32 bits: instructions to charge; above them the page's number, the reason, and the outcome.
/** Bits of the instructions to charge. */
export const EXIT_RETIRED = 0xffff
export const EXIT_PAGE_SHIFT = 16
/** Bits of the page's number, shifted. */
export const EXIT_PAGE = 0xf
export const EXIT_REASON_SHIFT = 20
/** Bits of the reason's number, shifted. */
export const EXIT_REASON = 0xf
export const EXIT_OUTCOME_SHIFT = 24
/** Bits of the outcome, shifted: a `UNIT_*`. */
export const EXIT_OUTCOME = 0x1f
/** Set where the target of a computed branch is noted. */
export const EXIT_COMPUTED = 0x2000_0000
/** Set besides, where the branch is a return. */
export const EXIT_RETURN = 0x4000_0000

/** Returns the detail of an exit. @param page - its number; @param outcome - a `UNIT_*`, below 32 */
export function exitDetail(why: ExitReason, outcome: number, page: number, retired: number): number {
  return exitReason(why) | (outcome << EXIT_OUTCOME_SHIFT) | (page << EXIT_PAGE_SHIFT) | retired
}

/** Returns what a reason adds to the detail of an exit. */
export function exitReason(why: ExitReason): number {
  return exitNumber(why) << EXIT_REASON_SHIFT
}
