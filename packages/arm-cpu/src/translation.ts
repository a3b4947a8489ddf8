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
  S_LEVEL,
  S_RIGHTS,
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

/** The rights of a processor's accesses: `TRANSLATE_*` for data, for data with the rights of EL0 (LDTR, STTR), for code. */
interface Rights {
  readonly set: number
  readonly data: number
  readonly unprivilegedSet: number
  readonly unprivileged: number
  readonly code: number
}

const EL1_AS_EL0 = { unprivilegedSet: SET_EL0, unprivileged: TRANSLATE_UNPRIVILEGED, code: 0 }
const EL1 = { set: SET_EL1, data: 0 }
const EL1_PAN = { set: SET_EL1_PAN, data: TRANSLATE_PAN }

/** By the number of S_RIGHTS: EL0; EL1; EL1 with PAN; the last two with UAO. */
const RIGHTS: readonly Rights[] = [
  { ...EL1_AS_EL0, set: SET_EL0, data: TRANSLATE_UNPRIVILEGED, code: TRANSLATE_UNPRIVILEGED },
  { ...EL1, ...EL1_AS_EL0 },
  { ...EL1_PAN, ...EL1_AS_EL0 },
  { ...EL1, unprivilegedSet: SET_EL1, unprivileged: 0, code: 0 },
  { ...EL1_PAN, unprivilegedSet: SET_EL1_PAN, unprivileged: TRANSLATE_PAN, code: 0 },
]
/** Bit of S_RIGHTS: every access must be aligned to its element, SCTLR_ELx.A. */
const STRICT = 8

/**
 * The processor's way from addresses to memory: the rights that it has now, and translations that it knows.
 *
 * The rights are a field of the state, since generated code changes the exception level too.
 */
export class Translation {
  readonly #memory: MachineMemory
  readonly #u32: Uint32Array
  readonly #tlb: Tlb
  readonly #host: ArmHost

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, tlb: Tlb, host: ArmHost, state: number) {
    this.#memory = memory
    this.#tlb = tlb
    this.#host = host
    this.#u32 = memory.u32.subarray(state >>> 2)
  }

  get #rights(): Rights {
    return RIGHTS[this.#u32[S_RIGHTS >>> 2]! & ~STRICT]!
  }

  /** TLB set of fetches. */
  get executeSet(): number {
    return this.#rights.set
  }

  /** Every access must be aligned to its element: SCTLR_ELx.A. */
  get strict(): boolean {
    return (this.#u32[S_RIGHTS >>> 2]! & STRICT) !== 0
  }

  /**
   * Writes the fields of a level: `S_RIGHTS`, and the TLB's sets.
   *
   * @param at - offset in the state, as that of S_LEVEL
   * @param el - exception level, 0 or 1
   * @param pan - PSTATE.PAN
   * @param uao - PSTATE.UAO
   * @param strict - SCTLR_ELx.A
   */
  writeLevel(at: number, el: number, pan: boolean, uao: boolean, strict: boolean): void {
    const number = el === 0 ? 0 : 1 + (pan ? 1 : 0) + (uao ? 2 : 0)
    const { set, unprivilegedSet } = RIGHTS[number]!
    const addressOf = (each: number): number => this.#tlb.setAddress(strict ? this.#tlb.missSet : each)
    this.#u32[(at + S_TLB - S_LEVEL) >>> 2] = addressOf(set)
    this.#u32[(at + S_TLB_UNPRIVILEGED - S_LEVEL) >>> 2] = addressOf(unprivilegedSet)
    this.#u32[(at + S_RIGHTS - S_LEVEL) >>> 2] = number | (strict ? STRICT : 0)
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
    const { set, unprivilegedSet } = this.#rights
    if (this.strict) return this.#tlb.missSet
    return (flags & ACCESS_UNPRIVILEGED) === 0 ? set : unprivilegedSet
  }

  /** Translates the address of a data access. @param flags - `ACCESS_*` @param kind - `TRANSLATE_READ` or `TRANSLATE_WRITE` */
  data(lo: number, hi: number, flags: number, kind: number, into: ArmTranslation): boolean {
    const { data, unprivileged } = this.#rights
    const rights = (flags & ACCESS_UNPRIVILEGED) === 0 ? data : unprivileged
    return translate(this.#host, this.#memory, lo, hi, kind | rights, into)
  }

  /** Translates the address of an instruction. */
  code(lo: number, hi: number, into: ArmTranslation): boolean {
    return translate(this.#host, this.#memory, lo, hi, TRANSLATE_FETCH | this.#rights.code, into)
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
