import type { MachineMemory } from '@retrap/memory'
import { UNIT_EXITS_AT, UNIT_EXIT_BYTES } from '../hot-counters.ts'

/** The reasons for which compiled code is left for the interpreter, in the order in which they are counted. */
export const EXIT_REASONS = [
  'target',
  'computed',
  'budget',
  'event',
  'miss',
  'device',
  'fault',
  'handler',
  'rare',
  'system',
  'written',
  'mapping',
  'guard',
] as const

/**
 * Why compiled code is left for the interpreter.
 *
 * - `target`: control goes to code that is not compiled
 * - `computed`: a branch to a computed address goes to a place that its unit does not know
 * - `budget`: the turn's budget is used up
 * - `event`: attention was requested, for an interrupt for example
 * - `miss`: a page is not in the TLB
 * - `device`: an access is to a device, to two pages, or to a page with code
 * - `fault`: a call ended the instruction with an exception
 * - `handler`: a call ended the instruction in another way: a device has not answered yet, or it runs alone
 * - `rare`: the interpreter executes an exception, or an operand that units do not deal with
 * - `system`: the interpreter executes an instruction that units do not contain
 * - `written`: code of the unit was written
 * - `mapping`: a page of the unit is mapped elsewhere
 * - `guard`: the state is not as the unit assumes
 */
export type ExitReason = (typeof EXIT_REASONS)[number]

/** Returns the number of a reason, from 0; below 16. */
export function exitNumber(reason: ExitReason): number {
  return EXIT_REASONS.indexOf(reason)
}

/** Returns where exits for a reason are counted, 64 bits, from the first counter of hot code. */
export function exitCounter(reason: ExitReason): number {
  return UNIT_EXITS_AT + UNIT_EXIT_BYTES * exitNumber(reason)
}

/** Returns how often compiled code was left, by reason. @param countersAt - machine address of the counters of hot code */
export function exitCounts({ u64 }: MachineMemory, countersAt: number): Readonly<Record<ExitReason, number>> {
  const count = (reason: ExitReason): number => Number(u64[(countersAt + exitCounter(reason)) >>> 3])
  return Object.fromEntries(EXIT_REASONS.map((reason) => [reason, count(reason)])) as Record<ExitReason, number>
}

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
/** Flag of an exit at a computed branch whose target is noted. */
export const EXIT_COMPUTED = 0x2000_0000
/** Further flag if this branch is a return. */
export const EXIT_RETURN = 0x4000_0000

/** Returns the detail of an exit. @param page - its number; @param outcome - a `UNIT_*`, below 32 */
export function exitDetail(why: ExitReason, outcome: number, page: number, retired: number): number {
  return exitReason(why) | (outcome << EXIT_OUTCOME_SHIFT) | (page << EXIT_PAGE_SHIFT) | retired
}

/** Returns a reason's part of an exit's detail. */
export function exitReason(why: ExitReason): number {
  return exitNumber(why) << EXIT_REASON_SHIFT
}
