/**
 * PSTATE, its fields where SPSR_EL1 has them.
 *
 * Source: Arm ARM (DDI 0487) C5.2, "SPSR_EL1, Saved Program Status Register (EL1)".
 */

/** The stack pointer in use is that of the exception level. */
export const PSTATE_SP = 1
/** Exception level: 1. Level 0 has no bit. */
export const PSTATE_EL1: number = 1 << 2
/** Bit position of the exception level. */
export const PSTATE_EL_SHIFT = 2
/** Both bits of the exception level. */
export const PSTATE_EL: number = 3 << 2
/** AArch32. */
export const PSTATE_NRW: number = 1 << 4
/** AArch32: the code is Thumb. */
export const PSTATE_T: number = 1 << 5
/** Fast interrupts are masked. */
export const PSTATE_F: number = 1 << 6
/** Interrupts are masked. */
export const PSTATE_I: number = 1 << 7
/** SErrors are masked. */
export const PSTATE_A: number = 1 << 8
/** Debug exceptions are masked. */
export const PSTATE_D: number = 1 << 9
/** All four masks. */
export const PSTATE_DAIF: number = PSTATE_D | PSTATE_A | PSTATE_I | PSTATE_F
/** Kind of the branch that led here: `BTYPE_*`. */
export const PSTATE_BTYPE_SHIFT = 10
export const PSTATE_BTYPE: number = 3 << 10
/** Speculative store bypassing is safe. */
export const PSTATE_SSBS: number = 1 << 12
/** Illegal execution state. */
export const PSTATE_IL: number = 1 << 20
/** Software step. */
export const PSTATE_SS: number = 1 << 21
/** Privileged access never. */
export const PSTATE_PAN: number = 1 << 22
/** User access override. */
export const PSTATE_UAO: number = 1 << 23
/** Data-independent timing. */
export const PSTATE_DIT: number = 1 << 24

/** All fields of AArch64 that the processor has, without the condition flags. */
export const PSTATE_FIELDS: number =
  PSTATE_SP |
  PSTATE_EL1 |
  PSTATE_DAIF |
  PSTATE_BTYPE |
  PSTATE_SSBS |
  PSTATE_IL |
  PSTATE_SS |
  PSTATE_PAN |
  PSTATE_UAO |
  PSTATE_DIT

/** AArch32: something has been saturated, or has overflowed. */
export const PSTATE_Q: number = 1 << 27
/** AArch32: greater than or equal, one bit for each byte. */
export const PSTATE_GE: number = 15 << 16

/** AArch32: speculative store bypassing is safe. */
export const PSTATE_SSBS32: number = 1 << 23
/** AArch32: ITSTATE, its bits 7 to 2 and 1 to 0. */
export const PSTATE_IT: number = (0x3f << 10) | (3 << 25)

/**
 * All implemented AArch32 fields, without condition flags, T and IT. E is not supported: all data is little-endian.
 */
export const PSTATE_FIELDS32: number =
  PSTATE_NRW |
  PSTATE_A |
  PSTATE_I |
  PSTATE_F |
  PSTATE_Q |
  PSTATE_GE |
  PSTATE_SS |
  PSTATE_IL |
  PSTATE_PAN |
  PSTATE_SSBS32 |
  PSTATE_DIT

/** ITSTATE in PSTATE. */
export const itOf = (pstate: number): number => ((pstate >>> 8) & 0xfc) | ((pstate >>> 25) & 3)

/** The bits of PSTATE that hold ITSTATE. */
export const bitsOfIt = (it: number): number => ((it & 0xfc) << 8) | ((it & 3) << 25)

/** Whether the stack pointer in use is SP_EL1. */
export const usesOwnStack = (pstate: number): boolean =>
  (pstate & (PSTATE_NRW | PSTATE_EL | PSTATE_SP)) === (PSTATE_EL1 | PSTATE_SP)

/** Whether a PSTATE is one of this processor's: of EL0, of EL1, or of user mode of AArch32. */
export const isPstate = (pstate: number): boolean =>
  (pstate & PSTATE_NRW) !== 0
    ? (pstate & 0xf) === 0
    : (pstate & 0xe & ~PSTATE_EL1) === 0 && (pstate & 0xf) !== PSTATE_SP
