import { STATUS_FAULT } from '@retrap/engine'
import type { Tlb } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { ACCESS_UNPRIVILEGED } from './access-flags.ts'
import { translate, TRANSLATE_FETCH, TRANSLATE_PAN, TRANSLATE_UNPRIVILEGED } from './host.ts'
import type { ArmHost, ArmTranslation } from './host.ts'
import {
  S_FAULT_ADDRESS,
  S_FAULT_HPFAR,
  S_FAULT_STAGE,
  S_FAULT_SYNDROME,
  S_TLB,
  S_TLB_UNPRIVILEGED,
} from './state-layout.ts'
import { ISS_S1PTW } from './syndrome.ts'

/** Sets of the TLB: what EL0 may do, what EL1 may do, and what EL1 may do with PSTATE.PAN. */
const SET_EL0 = 0
const SET_EL1 = 1
const SET_EL1_PAN = 2

/** How many sets there are. */
export const TLB_SETS = 3

/** The processor's way from addresses to memory: the rights that it has now, and translations that it knows. */
export class Translation {
  /** TLB set of fetches. */
  executeSet: number = SET_EL0
  /** Every access must be aligned to its element: SCTLR_ELx.A. */
  strict = false
  readonly #memory: MachineMemory
  readonly #u32: Uint32Array
  readonly #tlb: Tlb
  readonly #host: ArmHost
  #dataSet = SET_EL0
  #dataRights = TRANSLATE_UNPRIVILEGED
  #unprivilegedSet = SET_EL0
  #unprivilegedRights = TRANSLATE_UNPRIVILEGED
  #fetchRights = TRANSLATE_UNPRIVILEGED

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, tlb: Tlb, host: ArmHost, state: number) {
    this.#memory = memory
    this.#tlb = tlb
    this.#host = host
    this.#u32 = memory.u32.subarray(state >>> 2)
  }

  /**
   * Takes the rights of accesses from now on.
   *
   * @param el - exception level, 0 or 1
   * @param pan - PSTATE.PAN
   * @param uao - PSTATE.UAO
   * @param strict - SCTLR_ELx.A
   */
  setMode(el: number, pan: boolean, uao: boolean, strict: boolean): void {
    const missSet = this.#tlb.missSet
    const el1 = pan ? SET_EL1_PAN : SET_EL1
    this.strict = strict
    this.executeSet = el === 0 ? SET_EL0 : el1
    this.#dataRights = el === 0 ? TRANSLATE_UNPRIVILEGED : pan ? TRANSLATE_PAN : 0
    this.#fetchRights = el === 0 ? TRANSLATE_UNPRIVILEGED : 0
    const asEl1 = el !== 0 && uao
    this.#unprivilegedRights = asEl1 ? this.#dataRights : TRANSLATE_UNPRIVILEGED
    this.#dataSet = strict ? missSet : this.executeSet
    this.#unprivilegedSet = strict ? missSet : asEl1 ? this.#dataSet : SET_EL0
    this.#u32[S_TLB >>> 2] = this.#tlb.setAddress(this.#dataSet)
    this.#u32[S_TLB_UNPRIVILEGED >>> 2] = this.#tlb.setAddress(this.#unprivilegedSet)
  }

  /** A register that translation depends on has been written. */
  registersChanged(): void {
    this.#tlb.flush(true)
  }

  /** TLBI. */
  invalidate(): void {
    this.#tlb.flush(true)
  }

  /** AT. */
  translateAddress(): void {}

  /** TLB set of a data access. @param flags - `ACCESS_*` */
  dataSet(flags: number): number {
    return (flags & ACCESS_UNPRIVILEGED) === 0 ? this.#dataSet : this.#unprivilegedSet
  }

  /** Translates the address of a data access. @param flags - `ACCESS_*` @param kind - `TRANSLATE_READ` or `TRANSLATE_WRITE` */
  data(lo: number, hi: number, flags: number, kind: number, into: ArmTranslation): boolean {
    const rights = (flags & ACCESS_UNPRIVILEGED) === 0 ? this.#dataRights : this.#unprivilegedRights
    return translate(this.#host, this.#memory, lo, hi, kind | rights, into)
  }

  /** Translates the address of an instruction. */
  code(lo: number, hi: number, into: ArmTranslation): boolean {
    return translate(this.#host, this.#memory, lo, hi, TRANSLATE_FETCH | this.#fetchRights, into)
  }

  /** Notes the exception that an access ends with. @param syndrome - ESR_ELx @returns STATUS_FAULT */
  raise(lo: number, hi: number, syndrome: number): number {
    this.#u32[S_FAULT_SYNDROME >>> 2] = syndrome
    this.#u32[S_FAULT_ADDRESS >>> 2] = lo
    this.#u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
    this.#u32[S_FAULT_STAGE >>> 2] = 0
    return STATUS_FAULT
  }

  /** As {@link Translation.raise}, for an access that has no translation: `fault` says why. */
  raiseAbort(lo: number, hi: number, syndrome: number, fault: ArmTranslation): number {
    this.raise(lo, hi, fault.stage2 && fault.tableWalk ? (syndrome | ISS_S1PTW) >>> 0 : syndrome)
    if (fault.stage2) {
      const frame = Math.floor(fault.ipa / 4096) * 16
      this.#u32[S_FAULT_STAGE >>> 2] = 2
      this.#u32[S_FAULT_HPFAR >>> 2] = frame >>> 0
      this.#u32[(S_FAULT_HPFAR >>> 2) + 1] = Math.floor(frame / 2 ** 32)
    }
    return STATUS_FAULT
  }
}
