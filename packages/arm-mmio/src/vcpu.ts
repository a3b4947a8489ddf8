/**
 * The state of a vCPU that finishing an abort reads and writes.
 *
 * Source: Arm ARM (DDI 0487), "Process state, PSTATE", "SPSR_EL2", part G "Banked register arguments".
 */
import type { ArmTranslationRegisters } from '@retrap/paging'

// PSTATE, in the layout of SPSR_EL2.
/** AArch32. */
export const PSTATE_NRW: number = 1 << 4
/** T32. AArch32 only. */
export const PSTATE_T: number = 1 << 5
/** Big-endian data. AArch32 only. */
export const PSTATE_E: number = 1 << 9
/** Branch type, two bits. AArch64 only. */
export const PSTATE_BTYPE: number = 3 << 10
/** Software step. */
export const PSTATE_SS: number = 1 << 21
export const PSTATE_PAN: number = 1 << 22
/** Unprivileged instructions have EL1's rights. AArch64 only. */
export const PSTATE_UAO: number = 1 << 23
export const PSTATE_C: number = 1 << 29
/** IT[1:0] and IT[7:2], in AArch32 only. */
export const PSTATE_IT: number = (3 << 25) | (0x3f << 10)

// AArch32 modes, PSTATE[3:0].
export const MODE_USR = 0
export const MODE_FIQ = 1
export const MODE_IRQ = 2
export const MODE_SVC = 3
export const MODE_ABT = 7
export const MODE_UND = 11

const SCTLR_EE = 1 << 25
const SCTLR_E0E = 1 << 24

/** System registers of EL1 that an abort needs; 64-bit ones are a low and a high word. */
export interface ArmSystemRegisters extends ArmTranslationRegisters {
  /** VBAR_EL1, or VBAR. */
  readonly vbarLo: number
  /** VBAR_EL1, high word. */
  readonly vbarHi: number
}

/** System registers that an injected abort writes. */
export interface ArmExceptionRegisters {
  /** ESR_EL1, low word. */
  esrEl1: number
  /** FAR_EL1; DFAR in the low word. */
  farLo: number
  /** FAR_EL1, high word. */
  farHi: number
  /** ELR_EL1, low word. */
  elrLo: number
  /** ELR_EL1, high word. */
  elrHi: number
  /** SPSR_EL1. */
  spsrEl1: number
  /** AArch32. */
  dfsr: number
  ifsr: number
  ifar: number
}

/**
 * One vCPU's state.
 *
 * The arrays may be views of machine memory. In AArch32 state `x` holds the registers as AArch64 sees them: R0…R12, then
 * SP and LR of each mode, and FIQ's R8…R14 in X24…X30.
 */
export interface ArmVcpu {
  /** X0…X30: the low word of Xn at 2n, the high word at 2n + 1. */
  readonly x: Uint32Array
  /** SP_EL0 and SP_EL1, two words each. AArch64 only. */
  readonly sp: Uint32Array
  /** V0…V31, four words each. */
  readonly v: Uint32Array
  /** PC, two words. */
  readonly pc: Uint32Array
  /** PSTATE as SPSR_EL2 would hold it. */
  pstate: number
  /** AArch32 SPSRs: svc, abt, und, irq, fiq. */
  readonly spsr: Uint32Array
  /** Number among the vCPUs of its domain. */
  readonly id: number
  /** Registers that control translation and exceptions. */
  readonly system: ArmSystemRegisters
  /** Registers that an exception fills in. */
  readonly exception: ArmExceptionRegisters
}

/** Whether the vCPU runs AArch32 code. */
export function isAArch32(vcpu: ArmVcpu): boolean {
  return (vcpu.pstate & PSTATE_NRW) !== 0
}

/** Whether accesses have the rights of EL0. */
export function isUser(vcpu: ArmVcpu): boolean {
  return isAArch32(vcpu) ? (vcpu.pstate & 15) === MODE_USR : (vcpu.pstate & 12) === 0
}

/**
 * Whether data is big-endian. Unprivileged instructions at EL1 have the order of EL1: SCTLR_EL1.E0E "has no effect" on
 * them.
 */
export function isBigEndian(vcpu: ArmVcpu): boolean {
  if (isAArch32(vcpu)) return (vcpu.pstate & PSTATE_E) !== 0
  return (vcpu.system.sctlr & (isUser(vcpu) ? SCTLR_E0E : SCTLR_EE)) !== 0
}

/** X registers of SP and LR by AArch32 mode; other modes use usr's. */
const BANKED_SP: Readonly<Record<number, number>> = { 1: 29, 2: 17, 3: 19, 7: 21, 11: 23, 10: 15 }
const BANKED_LR: Readonly<Record<number, number>> = { 1: 30, 2: 16, 3: 18, 7: 20, 11: 22, 10: 14 }

/**
 * Which X register an AArch32 register is, R0 to R14.
 *
 * @param mode - PSTATE[3:0]
 */
export function aarch32Register(mode: number, number: number): number {
  if (mode === MODE_FIQ && number >= 8) return number + 16
  if (number < 13) return number
  const banked = number === 13 ? BANKED_SP[mode] : BANKED_LR[mode]
  return banked ?? number
}

/** Returns the index of a mode's SPSR in `spsr`; -1 if the mode has none. */
export function spsrIndex(mode: number): number {
  return [MODE_SVC, MODE_ABT, MODE_UND, MODE_IRQ, MODE_FIQ].indexOf(mode)
}

/** ITSTATE: condition and mask of an IT block. */
export function itState(pstate: number): number {
  return ((pstate >>> 25) & 3) | ((pstate >>> 8) & 0xfc)
}

/** Returns PSTATE with another ITSTATE. */
export function withItState(pstate: number, it: number): number {
  return ((pstate & ~PSTATE_IT) | ((it & 3) << 25) | ((it & 0xfc) << 8)) >>> 0
}

/** Returns ITSTATE after one more instruction. */
export function advanceIt(it: number): number {
  return (it & 7) === 0 ? 0 : (it & 0xe0) | ((it << 1) & 0x1f)
}

/** Makes a vCPU's state as new plain arrays, all zero: AArch64, EL0. */
export function createArmVcpu(
  id: number = 0,
): ArmVcpu & { system: { -readonly [Name in keyof ArmSystemRegisters]: ArmSystemRegisters[Name] } } {
  return {
    x: new Uint32Array(62),
    sp: new Uint32Array(4),
    v: new Uint32Array(128),
    pc: new Uint32Array(2),
    pstate: 0,
    spsr: new Uint32Array(5),
    id,
    system: {
      aarch64: true,
      sctlr: 0,
      tcrLo: 0,
      tcrHi: 0,
      ttbr0Lo: 0,
      ttbr0Hi: 0,
      ttbr1Lo: 0,
      ttbr1Hi: 0,
      mairLo: 0,
      mairHi: 0,
      dacr: 0,
      vbarLo: 0,
      vbarHi: 0,
    },
    exception: { esrEl1: 0, farLo: 0, farHi: 0, elrLo: 0, elrHi: 0, spsrEl1: 0, dfsr: 0, ifsr: 0, ifar: 0 },
  }
}
