/** Fields of a record that are this instruction set's own; see `RECORD_BYTES` of the engine. */

/** A number below 256 that the form knows the meaning of: a shift's amount, a bit's number, a lane. */
export const R_SMALL = 7
/** State offsets of registers, 16 bits each: the destination or transferred register, */
export const R_D = 8
/** the first operand or base, */
export const R_N = 10
/** the second operand or index, */
export const R_M = 12
/** the third operand, second transferred register or status. */
export const R_A = 14
/** The instruction, 32 bits. */
export const R_WORD = 16
/** Entry of the table for a form that computes what an instruction of AArch32 does, in a frame: in the place of a branch's link. 16 bits. */
export const R_FORM = 20
/** State offsets of up to four more registers, of instructions without an immediate. */
export const R_MORE = 24
/** Immediate: a value, or a branch's target relative to the page (in the page: times 4). 64 bits. */
export const R_IMMEDIATE = 24

/** `R_FUNCTION` of an instruction that TypeScript executes, or for which it raises an exception. */
export const HOST_EXECUTED = 0
/** `R_FUNCTION` of invalid instructions. */
export const HOST_UNDEFINED = 1
/** `R_FUNCTION` of a trapped SIMD or floating-point instruction. */
export const HOST_FP = 2
