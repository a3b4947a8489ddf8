/** A unit returns this where the interpreter goes on with the record in `StateLayout.record`. */
export const UNIT_RESUME = 0
/** A unit returns this where the instruction of that record has retired, and control goes to `StateLayout.unitTarget`. */
export const UNIT_JUMP = 1
/** A unit returns this as {@link UNIT_JUMP}, where a computed branch has led out of it so often that it is looked at; it has stored its record at {@link LEFT_UNIT_AT}. */
export const UNIT_MISSED = 2
/** A unit returns this as {@link UNIT_RESUME}, where it has not found a page in the TLB; it has stored its record at {@link LEFT_UNIT_AT}. */
export const UNIT_SLOW = 3
/** A unit returns this plus the status where the instruction of that record has failed, or has ended with STATUS_EXIT. */
export const UNIT_FAILED = 16
