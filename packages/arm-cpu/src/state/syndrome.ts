/**
 * Exception syndromes: ESR_ELx.
 *
 * Source: Arm ARM (DDI 0487) D24.2.40 "ESR_EL1".
 */

/** Instruction length: 32 bits. */
const IL = 1 << 25

const syndrome = (exceptionClass: number, iss: number): number => ((exceptionClass << 26) | IL | iss) >>> 0

/** The class of a syndrome. */
export const exceptionClassOf = (esr: number): number => esr >>> 26

/** Exception classes. */
export const EC_UNKNOWN = 0
export const EC_WAIT = 0x01
export const EC_FP = 0x07
export const EC_BRANCH_TARGET = 0x0d
export const EC_ILLEGAL_STATE = 0x0e
export const EC_CP15 = 0x03
export const EC_CP15_PAIR = 0x04
export const EC_CP14 = 0x05
export const EC_CP14_PAIR = 0x0c
export const EC_SVC32 = 0x11
export const EC_SVC64 = 0x15
export const EC_HVC64 = 0x16
export const EC_SMC64 = 0x17
export const EC_SYSTEM_REGISTER = 0x18
export const EC_INSTRUCTION_ABORT = 0x20
export const EC_PC_ALIGNMENT = 0x22
export const EC_DATA_ABORT = 0x24
export const EC_SP_ALIGNMENT = 0x26
export const EC_SERROR = 0x2f
export const EC_BREAKPOINT = 0x30
export const EC_SOFTWARE_STEP = 0x32
export const EC_WATCHPOINT = 0x34
export const EC_BKPT32 = 0x38
export const EC_BRK64 = 0x3c

/** Whether an exception sets FAR_ELx. */
export function hasFaultAddress(esr: number): boolean {
  const exceptionClass = exceptionClassOf(esr)
  return (
    exceptionClass === EC_INSTRUCTION_ABORT ||
    exceptionClass === EC_DATA_ABORT ||
    exceptionClass === EC_PC_ALIGNMENT ||
    exceptionClass === EC_WATCHPOINT
  )
}

/** Syndrome of an unallocated or disallowed instruction. */
export const UNDEFINED: number = syndrome(EC_UNKNOWN, 0)
/** A branch to an address that is no multiple of 4. */
export const PC_ALIGNMENT_FAULT: number = syndrome(EC_PC_ALIGNMENT, 0)
/** A base that is a stack pointer and no multiple of 16. */
export const SP_ALIGNMENT_FAULT: number = syndrome(EC_SP_ALIGNMENT, 0)

/** Syndrome of a branch to an invalid target in a guarded page. @param type - PSTATE.BTYPE */
export const branchTargetFault = (type: number): number => syndrome(EC_BRANCH_TARGET, type)
/** PSTATE.IL is set. */
export const ILLEGAL_STATE: number = syndrome(EC_ILLEGAL_STATE, 0)
/** A breakpoint at the address of an instruction. */
export const BREAKPOINT: number = syndrome(EC_BREAKPOINT, 0x22)
export const watchpoint = (write: boolean): number => syndrome(EC_WATCHPOINT, 0x22 | (write ? 1 << 6 : 0))
/** Software step. @param isStepped - after an instruction @param isExclusive - which was a load-exclusive */
export const softwareStep = (isStepped: boolean, isExclusive: boolean): number =>
  syndrome(EC_SOFTWARE_STEP, 0x22 | (isStepped ? 1 << 24 : 0) | (isExclusive ? 1 << 6 : 0))
/** Syndrome of an SError, without its details. */
export const SERROR: number = syndrome(EC_SERROR, 0)
/** SIMD or floating point that is trapped; the condition code of AArch64 is valid and always holds. */
export const FP_TRAP: number = syndrome(EC_FP, (1 << 24) | (14 << 20))
/** Returns the syndrome of a trapped WFI or WFE. */
export const waitTrap = (isEvent: boolean): number => syndrome(EC_WAIT, (1 << 24) | (14 << 20) | (isEvent ? 1 : 0))

/**
 * MSR, MRS, or a system instruction that is trapped.
 *
 * @param encoding - op0, op1, CRn, CRm and op2 in one number, as `encodingOf` has them
 * @param general - number of the general-purpose register
 */
export const systemTrap = (encoding: number, general: number, reads: boolean): number =>
  syndrome(
    EC_SYSTEM_REGISTER,
    ((encoding >>> 14) << 20) |
      ((encoding & 7) << 17) |
      (((encoding >>> 11) & 7) << 14) |
      (((encoding >>> 7) & 15) << 10) |
      (general << 5) |
      (((encoding >>> 3) & 15) << 1) |
      (reads ? 1 : 0),
  )

/** The syndrome of an instruction of 16 bits. */
export const ofHalfword = (esr: number): number => (esr & ~IL) >>> 0

/** An AArch32 syndrome with a valid, always true condition: only executed instructions are trapped. */
const ALWAYS32: number = (1 << 24) | (14 << 20)

/** MCR or MRC that is trapped. @param general - 31 for the flags */
export const coprocessorTrap = (
  exceptionClass: number,
  { opc1, n, m, opc2 }: { opc1: number; n: number; m: number; opc2: number },
  general: number,
  reads: boolean,
): number =>
  syndrome(
    exceptionClass,
    ALWAYS32 | (opc2 << 17) | (opc1 << 14) | (n << 10) | (general << 5) | (m << 1) | (reads ? 1 : 0),
  )

/** Returns the syndrome of a trapped MCRR or MRRC. */
export const coprocessorPairTrap = (
  exceptionClass: number,
  { opc1, m }: { opc1: number; m: number },
  general: number,
  second: number,
  reads: boolean,
): number =>
  syndrome(exceptionClass, ALWAYS32 | (opc1 << 16) | (second << 10) | (general << 5) | (m << 1) | (reads ? 1 : 0))

/** A call by SVC, HVC or SMC, or BRK: with the number in the instruction. */
export const callSyndrome = (exceptionClass: number, number: number): number => syndrome(exceptionClass, number)

/** Fault status codes of aborts, at level 0 if a level applies. */
export const FSC_TRANSLATION = 0x04
export const FSC_PERMISSION = 0x0c
/** A synchronous external abort: no device responds. */
export const FSC_EXTERNAL = 0x10
export const FSC_ALIGNMENT = 0x21
/** An unsupported exclusive or atomic access. */
export const FSC_UNSUPPORTED = 0x35

/** ISS of an abort: of cache maintenance. */
export const ISS_CM: number = 1 << 8
/** ISS of an abort: the fault of stage 2 is of an access that a walk of stage 1 has made. */
export const ISS_S1PTW: number = 1 << 7

/** An abort of a data access from a lower or the same exception level. */
export const dataAbort = (status: number, write: boolean): number =>
  syndrome(EC_DATA_ABORT, status | (write ? 1 << 6 : 0))

/** A data abort of cache maintenance by address: always as of a write. */
export const cacheAbort = (status: number): number => syndrome(EC_DATA_ABORT, status | ISS_CM | (1 << 6))

/** An abort of an instruction fetch. */
export const instructionAbort = (status: number): number => syndrome(EC_INSTRUCTION_ABORT, status)
