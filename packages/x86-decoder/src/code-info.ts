/** The types of the facts about a code. */
import type { OperandKind } from './kinds.ts'
import type { Immediate } from './operand-column.ts'

/** How an operand is used; `c`: under a condition. */
export type OperandAccess = 'r' | 'w' | 'rw' | 'n' | 'cr' | 'cw' | 'crw'

/** How execution goes on. Indirect: the target comes from a register or memory. */
export type FlowKind =
  | 'next'
  | 'jump'
  | 'indirect-jump'
  | 'branch'
  | 'call'
  | 'indirect-call'
  | 'return'
  | 'interrupt'
  | 'system'
  | 'exception'
  | 'transaction'

/** One operand in the description of a code. */
export interface OperandSpec {
  /** The kind of the operand, and the field of the instruction that names it. */
  readonly kind: OperandKind
  /**
   * Bytes of the operand in a register, of an encoded immediate, or of memory: 1, 2, 4, 8, 10, 16, 32…; 0 = none or varying.
   * `VSIB`: of the index register.
   */
  readonly size: number
  /** Bytes of the operand if it is in memory; differs from `size` in forms such as `SMSW r32/m16`, `ADDSS xmm, xmm/m32`. */
  readonly memorySize: number
  /** How the instruction accesses the operand. */
  readonly access: OperandAccess
  /** Number of a fixed register, or -1. */
  readonly register: number
}

/**
 * One row of the opcode map at one operand size: mnemonic and the kind and size of every operand, save whether a ModRM
 * operand is a register or memory.
 */
export interface CodeInfo {
  /** Own index in `codes`. */
  readonly code: number
  /** In capitals, as in the manual. A near and a far form have names of their own: CALL, CALLF. */
  readonly mnemonic: string
  /**
   * The mnemonic of the instruction whose operation this one has, under a name of its own for the same or other elements: MOVAPS for
   * MOVAPD and VPAND for VPANDD, which is the form of VEX that EVEX extends. Most have an operation of their own.
   */
  readonly operation: string
  /** As the manual writes the form: `ADD r/m32, imm8`. */
  readonly form: string
  /** In the order of Intel syntax. */
  readonly operands: readonly OperandSpec[]
  /** Effective operand size in bits: 8, 16, 32, 64; 0 if not applicable. */
  readonly operandSize: 0 | 8 | 16 | 32 | 64
  /**
   * How the operand size comes about, for encoding: `''` no prefix has to do with it; `v`: 66 or REX.W select 16 or 64
   * bits; `z`: as `v` without 64; `y`: REX.W (or VEX.W) alone selects between 32 and 64.
   */
  readonly sizeClass: '' | 'v' | 'y' | 'z'
  /** `rex2`: a legacy instruction that exists after REX2 only. */
  readonly encoding: 'legacy' | 'rex2' | 'vex' | 'xop' | 'evex'
  /** 0: one-byte, 1: 0F, 2: 0F 38, 3: 0F 3A, 4: 0F 0F, with the opcode after the operands (3DNow!); 8 to 10: XOP's. EVEX: 1 to 7. */
  readonly map: number
  /** The opcode byte within its map. */
  readonly opcode: number
  /** The low three bits of the opcode name a register. */
  readonly opcodeRegister: boolean
  /** `''`: prefixes do not select; `NP`: none of 66 F3 F2 may be there; `NFx`: neither F3 nor F2; else that prefix must be. */
  readonly prefix: '' | 'NP' | 'NFx' | '66' | 'F3' | 'F2'
  /** Whether the encoding has a ModRM byte. */
  readonly modrm: boolean
  /** ModRM.reg as opcode extension, or -1. */
  readonly extension: number
  /** The whole ModRM byte if it is part of the opcode, otherwise -1. */
  readonly modrmByte: number
  /** Whether ModRM may or must name memory. */
  readonly memory: 'any' | 'only' | 'never'
  /** The immediates of the encoding. */
  readonly immediate: Immediate
  /** `MODE_16`, `MODE_32`, `MODE_64` bits. */
  readonly modes: number
  /** Address size in bits that the form needs, or 0. */
  readonly addressSize: 0 | 16 | 32 | 64
  /** VEX.W, VEX.L (EVEX.W, EVEX.L'L): 0, 1, 2, or -1 = ignored (encode 0). With class `y` the operand size decides W. */
  readonly vexW: -1 | 0 | 1
  /** VEX.L or EVEX.L'L: 0, 1, 2, or -1 = ignored (encode 0). */
  readonly vexL: -1 | 0 | 1 | 2
  /** EVEX.aaa and EVEX.z: no mask; merging only; zeroing too (not in memory); a mask that is not k0 must be named. */
  readonly masking: 'none' | 'merge' | 'zero' | 'required'
  /** EVEX: bytes of the elements that the mask covers, in the destination or, if that is a mask, in the source; 0 = no mask. */
  readonly elementBytes: number
  /**
   * EVEX: the class of exceptions, such as `E4NF`; `''` of other encodings and of AMX. Classes with `.nb` are not told apart.
   * Source: SDM vol. 2A, "Exception Classifications of EVEX-Encoded Instructions".
   */
  readonly exceptionClass: string
  /**
   * Whether parts of a memory operand that the mask leaves out are not accessed, and cannot fault: so it is with all masks but
   * those of instructions whose class of exceptions ends with NF.
   */
  readonly faultSuppression: boolean
  /** EVEX.b with memory: bytes of the element that is repeated; 0 = not possible. */
  readonly broadcast: 0 | 2 | 4 | 8
  /** EVEX.b with registers: static rounding, or suppression of exceptions alone. */
  readonly rounding: 'none' | 'rounding' | 'sae'
  /** The factor of an 8-bit displacement, in bytes; with broadcast it is the element's size. 1 unless EVEX. */
  readonly disp8Scale: number
  /** EVEX: VEX has the same instruction, with registers 0 to 15 and up to 256 bits; assemblers take that. */
  readonly hasVex: boolean
  /** EVEX.ND: 1 for a new data destination in vvvv, or for zeroed upper bits (SETZUcc, IMULZU); -1 where it has no meaning. */
  readonly evexNd: -1 | 0 | 1
  /** EVEX.NF: whether it may be 1 (no flags are written), or must be. */
  readonly noFlags: 'never' | 'possible' | 'always'
  /** EVEX.SC of CCMP and CTEST, the condition; -1 elsewhere. */
  readonly condition: number
  /** LOCK is legal with a memory destination. */
  readonly lockable: boolean
  /** A memory destination is read and changed at once, without LOCK too (SDM vol. 3A, "Automatic Locking"; CMPccXADD, RAO-INT). */
  readonly atomic: boolean
  /**
   * The meaning of F2 and F3 before a memory operand (HLE): `locked`, they are XACQUIRE and XRELEASE beside LOCK; `always`,
   * without LOCK too; `release`, F3 is XRELEASE and F2 means nothing.
   */
  readonly elision: 'none' | 'locked' | 'always' | 'release'
  /** #UD if two of destination, index and mask (gathers), or of three tiles (AMX), are the same register. */
  readonly distinct: boolean
  /** Memory must be named with a SIB byte (AMX). */
  readonly sib: boolean
  /** #UD if memory is RIP-relative (MPX). */
  readonly noRip: boolean
  /** Whether REP repeats it, or REPE and REPNE do. */
  readonly repeat: 'none' | 'rep' | 'repe'
  /** In 64-bit mode the operand size is 64 without REX.W, or 16 with 66. */
  readonly default64: boolean
  /** In 64-bit mode the operand size is 64 whatever the prefixes say (near branches: on Intel). */
  readonly force64: boolean
  /** Faults unless CPL is 0 (or a control register allows it). */
  readonly privileged: boolean
  /** Depends on IOPL (CLI, STI), or on IOPL and the I/O permission bitmap (IN, OUT, INS, OUTS). */
  readonly iopl: boolean
  /** #UD in real and virtual-8086 mode. */
  readonly protectedOnly: boolean
  /** Whether another row encodes the same instruction, which assemblers prefer. */
  readonly alias: boolean
  /** How control passes from the instruction. */
  readonly flow: FlowKind
  /**
   * CPUID feature in SDM spelling with underscores, `A+B` where both are needed, or `''` for the base architecture. REX2, and
   * general registers from 16 on, need APX_F besides.
   */
  readonly feature: string
  /** EFLAGS bits that the instruction reads, at their positions. */
  readonly flagsRead: number
  /** EFLAGS bits that the instruction writes. */
  readonly flagsWritten: number
  /** EFLAGS bits that the instruction leaves undefined. */
  readonly flagsUndefined: number
}
