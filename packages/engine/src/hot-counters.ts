import { RECORD_BYTES } from './record.ts'

/** Count of the counters of how often branches reach records: 32 bits each, found by bits of the record's address. */
export const HOT_COUNTERS: number = 1 << 16
/** By how much a record's address is shifted to give its counter. */
export const HOT_COUNTER_SHIFT: number = Math.log2(RECORD_BYTES) - 2
/** Bits of a record's address, shifted to the size of a counter, that give a counter's offset. */
export const HOT_COUNTER_MASK: number = 4 * (HOT_COUNTERS - 1)
