/** What a unit returns: the interpreter goes on with the record in S_RECORD. */
export const UNIT_RESUME = 0
/** What a unit returns: the instruction of S_RECORD has retired, and control goes to the linear address in S_EA. */
export const UNIT_JUMP = 1
/** What a unit returns, plus the status: the instruction of S_RECORD has failed. */
export const UNIT_FAILED = 16
