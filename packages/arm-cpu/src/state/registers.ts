import type { MachineMemory } from '@retrap/memory'
import { KEYS, type KeyName, placeNow, restoreState, saveState, type SavedArmCpu } from './saved-state.ts'
import * as P from './pstate.ts'
import { isPstate } from './pstate.ts'
import * as S from './state-layout.ts'
import { HCR_API, HCR_APK, HCR_RW, HCR_TGE, SCTLR_KEYS } from './controls.ts'
import {
  placeOf,
  SYSTEM_REGISTERS,
  S_SCTLR_EL1,
  S_TPIDRRO_EL0,
  S_TPIDR_EL0,
  type SystemRegisterName,
} from './places.ts'
import type { SystemState } from './system-state.ts'

const count = (value: number, limit: number): number => {
  if (!Number.isInteger(value) || value < 0 || value >= limit) throw new RangeError(`there is no register ${value}`)
  return value
}

function keyIndex(name: KeyName): number {
  const index = KEYS.indexOf(name)
  if (index < 0) throw new RangeError(`there is no key ${name}`)
  return (S.S_KEYS >>> 3) + 2 * index
}

/** The system registers while the host serves EL0: as Linux sets them for its programs. */
const HOSTED: readonly (readonly [name: SystemRegisterName, value: bigint])[] = [
  ['hcr_el2', BigInt(HCR_TGE) | BigInt(HCR_RW >>> 0) | (BigInt(HCR_API | HCR_APK) << 32n)],
  // Keys, cache maintenance and DC ZVA are enabled; the stack pointer is aligned.
  ['sctlr_el1', 0xfcd5_f91dn],
  ['cpacr_el1', 3n << 20n],
  // Addresses of 48 bits; the upper byte is a tag in the lower range.
  ['tcr_el1', 16n | (16n << 16n) | (1n << 37n)],
  ['cntkctl_el1', 3n],
  ['cnthctl_el2', 3n],
  ['vpidr_el2', 0x000f_0520n],
  ['vmpidr_el2', 0x8000_0000n],
  ['oslsr_el1', 8n],
]

/** The values that a reset to EL1 sets; the other registers of EL1 and EL0 are 0. */
const RESET: readonly (readonly [name: SystemRegisterName, value: bigint])[] = [
  ['sctlr_el1', 0x30d0_0800n],
  ['oslsr_el1', 0xan],
]

/** The state that an instruction before the reset may have left to the next one: WFI and WFE, the monitor, a step. */
const UNDER_WAY: readonly number[] = [
  S.S_WAITING,
  S.S_IT,
  S.S_EXCLUSIVE_BYTES,
  S.S_STEPPED,
  S.S_FAULT_SYNDROME,
  S.S_FAULT_STAGE,
]

let make: (memory: MachineMemory, state: number, system: SystemState) => ArmRegisters

/** The registers of a processor by name, for people and tests: not while it runs. */
export class ArmRegisters {
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array
  readonly #system: SystemState

  static {
    make = (memory, state, system) => new ArmRegisters(memory, state, system)
  }

  private constructor(memory: MachineMemory, state: number, system: SystemState) {
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#u64 = memory.u64.subarray(state >>> 3)
    this.#system = system
    for (const [name, value] of HOSTED) this.#u64[placeOf(name) >>> 3] = value
    this.nzcv = 0
    system.controlsChanged()
  }

  /**
   * Resets the processor to EL1, with its interrupts masked and the MMU off; it waits for nothing. The registers of EL2 stay
   * as they are, but for HCR_EL2.TGE.
   */
  reset(): void {
    const u64 = this.#u64
    for (const name of SYSTEM_REGISTERS) if (!name.endsWith('_el2')) u64[placeOf(name) >>> 3] = 0n
    for (const [name, value] of RESET) u64[placeOf(name) >>> 3] = value
    for (let i = 0; i < 31; i++) this.setX(i, 0n)
    this.sp = 0n
    this.pc = 0n
    this.nzcv = 0
    this.fpcr = 0
    this.fpsr = 0
    for (const place of UNDER_WAY) this.#u32[place >>> 2] = 0
    this.#system.setEvent(S.EVENT_REGISTER, false)
    this.set('hcr_el2', this.get('hcr_el2') & ~BigInt(HCR_TGE))
    this.pstate = P.PSTATE_EL1 | P.PSTATE_SP | P.PSTATE_DAIF
  }

  /**
   * Returns the architectural state between two instructions, as plain data: for snapshots. Interrupts are excluded,
   * because their drivers keep them.
   */
  save(): SavedArmCpu {
    return saveState(this.#system)
  }

  /**
   * Restores the state that {@link ArmRegisters.save} returned.
   *
   * @throws ArmCpuError `ERR_SAVED_STATE` for another version, a field that is missing, or a value that no processor has;
   *   nothing has changed then
   */
  restore(saved: SavedArmCpu): void {
    restoreState(this.#system, saved)
  }

  /** Returns X0 to X30. @throws RangeError for another number */
  x(number: number): bigint {
    return this.#u64[(S.S_X >>> 3) + count(number, 31)]!
  }

  /** Sets X0 to X30. @throws RangeError for another number */
  setX(number: number, value: bigint): void {
    this.#u64[(S.S_X >>> 3) + count(number, 31)] = value
  }

  /** V0 to V31, 128 bits. @throws RangeError for another number */
  v(number: number): bigint {
    const at = (S.S_V >>> 3) + 2 * count(number, 32)
    return this.#u64[at]! | (this.#u64[at + 1]! << 64n)
  }

  /** Sets V0 to V31. @throws RangeError for another number */
  setV(number: number, value: bigint): void {
    const at = (S.S_V >>> 3) + 2 * count(number, 32)
    this.#u64[at] = value
    this.#u64[at + 1] = value >> 64n
  }

  /** A system register. */
  get(name: SystemRegisterName): bigint {
    return this.#u64[this.#placeOf(name) >>> 3]!
  }

  /** Sets all bits of a system register, without checks. */
  set(name: SystemRegisterName, value: bigint): void {
    this.#u64[this.#placeOf(name) >>> 3] = value
    this.#system.controlWritten(true)
    this.#system.settleAttention()
  }

  /** @throws RangeError for an invalid name */
  #placeOf(name: SystemRegisterName): number {
    const place = placeOf(name)
    if (place < 0) throw new RangeError(`there is no system register ${name}`)
    return placeNow(this.#system, place)
  }

  /** The stack pointer in use. */
  get sp(): bigint {
    return this.#u64[S.S_SP >>> 3]!
  }
  set sp(value: bigint) {
    this.#u64[S.S_SP >>> 3] = value
  }

  /** Address of the next instruction. */
  get pc(): bigint {
    const value = this.#u64[S.S_PC >>> 3]!
    return this.#isAArch32 ? value & ~1n : value
  }
  set pc(value: bigint) {
    const at = S.S_PC >>> 3
    // Bit 0 is PSTATE.T.
    this.#u64[at] = this.#isAArch32 ? (value & 0xffff_fffen) | (this.#u64[at]! & 1n) : value
  }

  get #isAArch32(): boolean {
    return (this.#system.pstate & P.PSTATE_NRW) !== 0
  }

  /** PSTATE's N, Z, C and V, in bits 31 to 28. */
  get nzcv(): number {
    return this.#system.flags
  }
  set nzcv(value: number) {
    this.#system.flags = value
  }

  /**
   * PSTATE where SPSR_EL1 has its fields, without N, Z, C and V: the exception level in bits 3 and 2, SPSel in bit 0, the
   * masks in bits 9 to 6, and so on. 16 is user mode of AArch32, with A32 code, 48 with Thumb code: R0 to R14 are X0 to X14. DIT and SSBS are kept, no more: what time an instruction takes is up to the host.
   *
   * @throws RangeError if an exception level but 0 and 1 is set, or EL0 with a stack pointer of its own
   */
  get pstate(): number {
    return this.#system.status & 0x0fff_ffff
  }
  set pstate(value: number) {
    if (!isPstate(value)) throw new RangeError(`PSTATE of ${value}: expected EL0, or user mode of AArch32, or EL1`)
    const fields = (value & P.PSTATE_NRW) !== 0 ? P.PSTATE_FIELDS32 | P.PSTATE_T | P.PSTATE_IT : P.PSTATE_FIELDS
    this.#system.status = ((value & fields) | this.#system.flags) >>> 0
    this.#system.settleAttention()
  }

  /** A key of pointer authentication, 128 bits: the high half is that of the register `AP*KeyHi_EL1`. */
  key(name: KeyName): bigint {
    const at = keyIndex(name)
    return this.#u64[at]! | (this.#u64[at + 1]! << 64n)
  }

  /** Sets a key of pointer authentication. */
  setKey(name: KeyName, value: bigint): void {
    const at = keyIndex(name)
    this.#u64[at] = value
    this.#u64[at + 1] = value >> 64n
  }

  /** Which keys are in use: bits 0 to 3 for IA, IB, DA and DB. Instructions of the others do nothing. */
  get enabledKeys(): number {
    return this.#u32[S.S_KEYS_ENABLED >>> 2]!
  }
  set enabledKeys(value: number) {
    let control = this.#u32[S_SCTLR_EL1 >>> 2]!
    for (const [i, bit] of SCTLR_KEYS.entries()) {
      control = ((value >>> i) & 1) === 0 ? control & ~(1 << bit) : control | (1 << bit)
    }
    this.#u32[S_SCTLR_EL1 >>> 2] = control
    this.#system.controlsChanged()
  }

  /** Floating-point control register. */
  get fpcr(): number {
    return this.#u32[S.S_FPCR >>> 2]!
  }
  set fpcr(value: number) {
    this.#u32[S.S_FPCR >>> 2] = value
  }

  /** Floating-point status register. */
  get fpsr(): number {
    return this.#u32[S.S_FPSR >>> 2]!
  }
  set fpsr(value: number) {
    this.#u32[S.S_FPSR >>> 2] = value
  }

  /** TPIDR_EL0. */
  get tpidr(): bigint {
    return this.#u64[S_TPIDR_EL0 >>> 3]!
  }
  set tpidr(value: bigint) {
    this.#u64[S_TPIDR_EL0 >>> 3] = value
  }

  /** TPIDRRO_EL0. */
  get tpidrro(): bigint {
    return this.#u64[S_TPIDRRO_EL0 >>> 3]!
  }
  set tpidrro(value: bigint) {
    this.#u64[S_TPIDRRO_EL0 >>> 3] = value
  }
}

/** Makes the registers of a processor, as they are while its host serves EL0. @param state - machine address of the state */
export function makeRegisters(memory: MachineMemory, state: number, system: SystemState): ArmRegisters {
  return make(memory, state, system)
}
