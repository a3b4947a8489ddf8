// The locals of a unit of the first tier: its parameters, those of 32 bits, those of 64.
export const STATE = 0
export const UNIT_RECORD = 1
export const TLB = 2
/** Machine address of the unit's words. */
export const WORDS = 3
export const BUDGET = 4
/** See `RecordRef`. */
export const REFERENCE = 5
/** Of the exit: see `exitDetail`. */
export const DETAIL = 6
/** Which block the loop around all code goes on with. */
export const NEXT = 7
export const STATUS = 8
export const ENTRY = 9
/** Linear address of the page that the unit is entered in. */
export const BASE = 10
/** Linear address that the unit is left for. */
export const TARGET = 11
export const PAGE = 12
export const POSITION = 13
export const FIRST_OF_SET = 14
/** Locals of 32 bits and of 64 after the parameters. */
export const COUNT_32 = 7
export const COUNT_64 = 4
