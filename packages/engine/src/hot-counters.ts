import { RECORD_BYTES } from './record.ts'

/**
 * Count of the counters of how often branches reach records: 32 bits each, found by bits of the record's address. Measured:
 * with four times as many a boot takes 6 % longer, since the interpreter's counters no longer stay in the processor's cache.
 */
export const HOT_COUNTERS: number = 1 << 14
/** Right shift of a record's address that gives its counter's offset. */
export const HOT_COUNTER_SHIFT: number = Math.log2(RECORD_BYTES) - 2
/** Bits of a record's address, shifted to the size of a counter, that give a counter's offset. */
export const HOT_COUNTER_MASK: number = 4 * (HOT_COUNTERS - 1)

/** Branches to computed addresses that compiled code has last been left by, whose targets are kept. */
export const MISSED_BRANCHES: number = 32
/** Bytes of one: the target (64 bits), the machine address of the branch's record, and that of the unit's (32 bits each). */
export const MISSED_BRANCH_BYTES: number = 16
/** Offset of the counters of missed branches from the first counter; low bits of the budget select one of them. */
export const MISSED_BRANCHES_AT: number = 4 * HOT_COUNTERS

/** Offset from the first counter of a word that counts down exits of compiled code on misses of the TLB. */
export const MISSES_AT: number = MISSED_BRANCHES_AT + MISSED_BRANCHES * MISSED_BRANCH_BYTES
/** Offset from the first counter of a word with the start value of a countdown. */
export const MISSES_PER_COUNT_AT: number = MISSES_AT + 4
/** Offset from the first counter of a word with the machine address of the record of the unit that was left last. */
export const LEFT_UNIT_AT: number = MISSES_AT + 8
/** Offset from the first counter of a count of instructions that compiled code has executed; 64 bits. */
export const UNIT_INSTRUCTIONS_AT: number = MISSES_AT + 16
/** Offset from the first counter of counts of exits of compiled code to the interpreter, by reason. */
export const UNIT_EXITS_AT: number = UNIT_INSTRUCTIONS_AT + 8
/** Bytes of a counter of exits. */
export const UNIT_EXIT_BYTES = 8
/** Most exit counters. */
const UNIT_EXIT_REASONS = 16
/** Bytes of all counters. */
export const HOT_COUNTER_BYTES: number = UNIT_EXITS_AT + UNIT_EXIT_BYTES * UNIT_EXIT_REASONS

/** Set in the argument of `hot`: the record is a unit's, and a computed branch, whose record is in the state, has often led out of the unit. */
export const HOT_MISSED = 1
/** Set in the argument of `hot`: the record is a unit's, which has missed the TLB at the record in the state. */
export const HOT_SLOW = 2
