import { isWideThumb } from '@retrap/arm-decoder'
import { STATUS_DONE, STATUS_FAULT, TLB_READ, TLB_WRITE, type Tlb } from '@retrap/engine'
import { PAGE_BYTES, PAGE_SHIFT, type MachineMemory, type Neighbour } from '@retrap/memory'
import * as A from '../state/access-rights.ts'
import { type Rights } from '../state/access-rights.ts'
import {
  newTranslation,
  translate,
  TRANSLATE_FETCH,
  TRANSLATE_PAN,
  TRANSLATE_UNPRIVILEGED,
  TRANSLATE_WRITE,
  type ArmHost,
  type ArmTranslation,
} from '../state/host.ts'
import { KEY_GUARDED } from '../system/branch-types.ts'
import * as S from '../state/state-layout.ts'
import { cacheAbort, FSC_PERMISSION, ISS_S1PTW } from '../state/syndrome.ts'
import { S_PAR_EL1, S_TCR_EL1, S_TTBR0_EL1, S_TTBR1_EL1 } from '../state/places.ts'

/** TCR_EL1: the ASID is that of TTBR1_EL1; in the upper word: it has 16 bits. */
const TCR_A1 = 1 << 22
const TCR_AS = 1 << 4

/** CRm of TLBI: 7, and 6 of a range, are of this processor; 1 and 3, and 2 and 5 of a range, of all. */
const TLBI_LOCAL = 6
const TLBI_RANGES: ReadonlySet<number> = new Set([2, 5, 6])
/** Most pages of 4 KiB dropped one by one; beyond this number all entries are dropped. */
const MOST_PAGES = 64
/** op2 of TLBI: everything; all of an ASID. The others are by address; this bit of theirs: whatever the ASID. */
const TLBI_ALL = 0
const TLBI_ASID = 2
const TLBI_ANY_ASID = 2

/** PAR_EL1: the translation has failed; bits that are always 1; the sharing of memory that is not cached, and of other. */
const PAR_FAULT = 1
const PAR_RES1 = 1 << 11
const PAR_NS = 1 << 9
const PAR_OUTER = 2 << 7
const PAR_INNER = 3 << 7
/** Non-cacheable normal memory, in MAIR_EL1's encoding. */
const NON_CACHEABLE = 0x44

/** The high word of the address whose bits 55:12 the operand of a TLBI has in its bits 43:0. */
const pageHigh = (lo: number, hi: number): number => {
  const high = ((hi << 12) | (lo >>> 20)) & 0xff_ffff
  // Bit 55 is that of all bits above.
  return ((high & 0x80_0000) === 0 ? high : high | 0xff00_0000) >>> 0
}

/**
 * Bits of the high word of an address that may be a tag, TCR_EL1.TBI: the operand of a TLBI has no tag, and a page's
 * entries have the tags of its accesses. Without TBI these bits equal bit 55.
 */
export const TLB_TAG = 0xff00_0000

/** The processors of each machine, whose TLBs are notified of each other's TLBI. */
const ofMachines = /*#__PURE__*/ new WeakMap<object, Translation[]>()

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
  /** The address space that the TLB's entries are of. */
  #space = 0
  readonly #walked = newTranslation()
  readonly #all: readonly Translation[]
  /** This thread, where others execute code of the memory. */
  neighbour: Neighbour | undefined = undefined

  /**
   * @param state - machine address of the processor's state
   * @param machine - shared by all processors of the machine
   */
  constructor(memory: MachineMemory, tlb: Tlb, host: ArmHost, state: number, machine: object) {
    this.#memory = memory
    this.#tlb = tlb
    this.#host = host
    this.#u32 = memory.u32.subarray(state >>> 2)
    const all = ofMachines.get(machine) ?? []
    ofMachines.set(machine, all)
    all.push(this)
    this.#all = all
  }

  get #rights(): Rights {
    return A.RIGHTS[this.#u32[S.S_RIGHTS >>> 2]! & ~(A.STRICT | A.WATCHED)]!
  }

  /** TLB set of fetches. */
  get executeSet(): number {
    return this.#rights.set
  }

  /** Every access must be aligned to its element: SCTLR_ELx.A. */
  get strict(): boolean {
    return (this.#u32[S.S_RIGHTS >>> 2]! & A.STRICT) !== 0
  }

  /** Watchpoints may match. */
  get watched(): boolean {
    return (this.#u32[S.S_RIGHTS >>> 2]! & A.WATCHED) !== 0
  }

  /**
   * Writes the fields of a level: `S_RIGHTS`, and the TLB's sets.
   *
   * @param at - offset in the state, as that of S_LEVEL
   * @param el - exception level, 0 or 1
   * @param flags - `LEVEL_PAN`, `LEVEL_UAO`, `STRICT` and `WATCHED`
   */
  writeLevel(at: number, el: number, flags: number): void {
    const number = el === 0 ? 0 : 1 + (flags & (A.LEVEL_PAN | A.LEVEL_UAO))
    const { set, unprivilegedSet } = A.RIGHTS[number]!
    const tlb = this.#tlb
    const checks = flags & (A.STRICT | A.WATCHED)
    const misses = checks !== 0
    this.#u32[(at + S.S_TLB - S.S_LEVEL) >>> 2] = tlb.setAddress(misses ? tlb.missSet : set)
    this.#u32[(at + S.S_TLB_UNPRIVILEGED - S.S_LEVEL) >>> 2] = tlb.setAddress(misses ? tlb.missSet : unprivilegedSet)
    this.#u32[(at + S.S_RIGHTS - S.S_LEVEL) >>> 2] = number | checks
  }

  /** Has accesses and fetches be those of EL0 in AArch32, after the fields of EL0 have been written to S_LEVEL. */
  useAArch32(): void {
    const u32 = this.#u32
    const tlb = this.#tlb
    const checks = u32[S.S_RIGHTS >>> 2]! & (A.STRICT | A.WATCHED)
    const set = tlb.setAddress(checks === 0 ? A.SET_AARCH32 : tlb.missSet)
    u32[S.S_TLB >>> 2] = set
    u32[S.S_TLB_UNPRIVILEGED >>> 2] = set
    u32[S.S_RIGHTS >>> 2] = A.AARCH32 | checks
  }

  /** Registers that translation depends on have been written: all may have been. */
  controlsChanged(): void {
    this.#tlb.flush(true)
    this.#space = this.#currentSpace()
    this.#host.controlChanged?.()
  }

  /**
   * TTBR0_EL1 or TTBR1_EL1 has been written. TLB entries of the address space stay: software tells of changes, by TLBI.
   *
   * @returns whether the address space has changed
   */
  tableChanged(): boolean {
    this.#host.controlChanged?.()
    const space = this.#currentSpace()
    if (space === this.#space) return false
    this.#tlb.exchange(this.#space, space)
    this.#space = space
    return true
  }

  /** The address space: the ASID that TCR_EL1.A1 selects, 8 or 16 bits of it. */
  #currentSpace(): number {
    const u32 = this.#u32
    const register = (u32[S_TCR_EL1 >>> 2]! & TCR_A1) === 0 ? S_TTBR0_EL1 : S_TTBR1_EL1
    const asid = u32[(register + 4) >>> 2]! >>> 16
    return (u32[(S_TCR_EL1 + 4) >>> 2]! & TCR_AS) === 0 ? asid & 0xff : asid
  }

  /**
   * TLBI of EL1. All processors of a machine are of one shareability domain.
   *
   * @param encoding - of the instruction
   * @param lo, hi - its register
   */
  invalidate(encoding: number, lo: number, hi: number): void {
    if (((encoding >>> 3) & TLBI_LOCAL) === TLBI_LOCAL) this.#invalidateOwn(encoding, lo, hi)
    else {
      for (const each of this.#all) each.#invalidateOwn(encoding, lo, hi)
      if (this.neighbour !== undefined) this.#u32[S.S_SHOOTDOWN >>> 2] = 1
    }
  }

  /** DSB: what TLBI was to drop is dropped in other threads, too, whatever it was. */
  completeInvalidations(): void {
    if (this.#u32[S.S_SHOOTDOWN >>> 2] === 0) return
    this.#u32[S.S_SHOOTDOWN >>> 2] = 0
    this.neighbour?.dropOthers()
  }

  #invalidateOwn(encoding: number, lo: number, hi: number): void {
    const tlb = this.#tlb
    const asid = hi >>> 16
    switch (encoding & 7) {
      case TLBI_ALL:
        tlb.flush(true)
        return
      case TLBI_ASID:
        if (this.#isCurrent(asid)) tlb.flush(false)
        else tlb.dropParked(asid)
        return
      default:
        // By address; the operation decides whether the ASID matters. A page is dropped in the present space in any case.
        if (TLBI_RANGES.has((encoding >>> 3) & 15)) this.#invalidateRange(lo, hi)
        else tlb.invalidatePage((lo << PAGE_SHIFT) >>> 0, pageHigh(lo, hi))
        if ((encoding & TLBI_ANY_ASID) !== 0) tlb.dropAllParked()
        else if (!this.#isCurrent(asid)) tlb.dropParked(asid)
    }
  }

  /**
   * Drops the pages of a range: TG, SCALE, NUM and BaseADDR of the operand.
   *
   * Source: Arm ARM (DDI 0487), "TLBI RVAE1".
   */
  #invalidateRange(lo: number, hi: number): void {
    const granule = (hi >>> 14) & 3
    // A range needs a granule.
    if (granule === 0) return
    const bytes = 2 ** (10 + 2 * granule)
    const count = (((hi >>> 7) & 31) + 1) * 2 ** (5 * ((hi >>> 12) & 3) + 1)
    const pages = (count * bytes) / PAGE_BYTES
    if (pages > MOST_PAGES) {
      this.#tlb.flush(true)
      return
    }
    const base = (hi & 31) * 2 ** 32 + lo
    // Extend the uppermost bit to all higher bits.
    const start = (base < 2 ** 36 ? base : base - 2 ** 37) * bytes
    for (let i = 0; i < pages; i++) {
      const address = start + i * PAGE_BYTES
      this.#tlb.invalidatePage(address >>> 0, Math.floor(address / 2 ** 32) >>> 0)
    }
  }

  #isCurrent(asid: number): boolean {
    const is16 = (this.#u32[(S_TCR_EL1 + 4) >>> 2]! & TCR_AS) !== 0
    return this.#space === (is16 ? asid : asid & 0xff)
  }

  /**
   * AT of EL1: translates an address and writes PAR_EL1.
   *
   * @param encoding - of the instruction
   */
  translateAddress(encoding: number, lo: number, hi: number): number {
    const u32 = this.#u32
    const op2 = encoding & 7
    // AT S1E1R, W, S1E0R, W; with CRm 9 S1E1RP and WP, which heed PSTATE.PAN.
    const withPan = (encoding & 0x78) === 0x48
    const rights = (op2 & 2) !== 0 ? TRANSLATE_UNPRIVILEGED : withPan ? this.#rights.data & TRANSLATE_PAN : 0
    const into = this.#walked
    const found = translate(this.#host, this.#memory, lo, hi, (op2 & 1) | rights, into)
    if (found || (into.stage2 && !into.tableWalk)) {
      // Stage 1 alone is asked.
      u32[S_PAR_EL1 >>> 2] =
        ((into.ipa & -PAGE_BYTES) |
          PAR_RES1 |
          PAR_NS |
          (into.device || into.attributes === NON_CACHEABLE ? PAR_OUTER : PAR_INNER)) >>>
        0
      u32[(S_PAR_EL1 + 4) >>> 2] = (Math.floor(into.ipa / 2 ** 32) | (into.attributes << 24)) >>> 0
      return STATUS_DONE
    }
    if (into.stage2) return this.raiseAbort(lo, hi, cacheAbort(into.faultStatus), into)
    u32[S_PAR_EL1 >>> 2] = PAR_FAULT | PAR_RES1 | (into.faultStatus << 1)
    u32[(S_PAR_EL1 + 4) >>> 2] = 0
    return STATUS_DONE
  }

  /**
   * DC IVAC: without caches, only check that the address is mapped and writable. If only stage 2 forbids writes, the instruction
   * also cleans.
   *
   * @returns a status
   */
  invalidateCache(lo: number, hi: number): number {
    const into = this.#walked
    if (this.data(lo, hi, A.ACCESS_CACHE, TRANSLATE_WRITE, into)) return STATUS_DONE
    if (into.stage2 && !into.tableWalk && (into.faultStatus & 0x3c) === FSC_PERMISSION) return STATUS_DONE
    return this.raiseAbort(lo, hi, cacheAbort(into.faultStatus), into)
  }

  /** TLB set of a data access. @param flags - `ACCESS_*` */
  dataSet(flags: number): number {
    const { set, unprivilegedSet } = this.#rights
    if (this.strict || this.watched) return this.#tlb.missSet
    return (flags & A.ACCESS_UNPRIVILEGED) === 0 ? set : unprivilegedSet
  }

  /** Translates the address of a data access. @param flags - `ACCESS_*` @param kind - `TRANSLATE_READ` or `TRANSLATE_WRITE` */
  data(lo: number, hi: number, flags: number, kind: number, into: ArmTranslation): boolean {
    const table = kind === TRANSLATE_WRITE ? TLB_WRITE : TLB_READ
    const isResident = (flags & A.ACCESS_CACHE) === 0 && this.#tlb.find(this.dataSet(flags), table, lo, hi, into)
    if (isResident && (table === TLB_READ || into.writable)) {
      into.device = false
      return true
    }
    const { data, unprivileged } = this.#rights
    // PSTATE.PAN is not about cache maintenance.
    const own = (flags & A.ACCESS_CACHE) === 0 ? data : data & ~TRANSLATE_PAN
    const rights = (flags & A.ACCESS_UNPRIVILEGED) === 0 ? own : unprivileged
    return translate(this.#host, this.#memory, lo, hi, kind | rights, into)
  }

  /** Translates the address of an instruction. */
  code(lo: number, hi: number, into: ArmTranslation): boolean {
    return translate(this.#host, this.#memory, lo, hi, TRANSLATE_FETCH | this.#rights.code, into)
  }

  /**
   * The instruction at an address that is being executed, that of T32 with its first halfword in the upper half.
   *
   * @param lo - of Thumb with bit 0 set
   * @returns −1 if the word cannot be fetched any more
   */
  wordAt(lo: number, hi: number): number {
    if ((lo & 1) !== 0) return this.#thumbAt(lo - 1, hi)
    const into = this.#walked
    return this.code(lo, hi, into) && into.ma >= 0 ? this.#memory.u32[into.ma >>> 2]! : -1
  }

  guardedWordAt(lo: number, hi: number): number {
    const into = this.#walked
    const isFound = (lo & 3) === 0 && this.code(lo, hi, into) && into.ma >= 0
    return isFound && into.key === KEY_GUARDED ? this.#memory.u32[into.ma >>> 2]! : -1
  }

  #thumbAt(lo: number, hi: number): number {
    const first = this.#halfAt(lo, hi)
    if (first < 0 || !isWideThumb(first)) return first
    const second = this.#halfAt((lo + 2) >>> 0, hi)
    return second < 0 ? -1 : ((first << 16) | second) >>> 0
  }

  #halfAt(lo: number, hi: number): number {
    const into = this.#walked
    return this.code(lo, hi, into) && into.ma >= 0 ? this.#memory.u16[into.ma >>> 1]! : -1
  }

  /** Notes the exception that an access ends with. @param syndrome - ESR_ELx @returns STATUS_FAULT */
  raise(lo: number, hi: number, syndrome: number): number {
    this.#u32[S.S_FAULT_SYNDROME >>> 2] = syndrome
    this.#u32[S.S_FAULT_ADDRESS >>> 2] = lo
    this.#u32[(S.S_FAULT_ADDRESS >>> 2) + 1] = hi
    this.#u32[S.S_FAULT_STAGE >>> 2] = 0
    return STATUS_FAULT
  }

  /**
   * As {@link Translation.raise}, for an access that has no translation: `fault` says why.
   *
   * @param isBeyond - whether the fault is on the access's second page
   */
  raiseAbort(lo: number, hi: number, syndrome: number, fault: ArmTranslation, isBeyond: boolean = false): number {
    this.raise(lo, hi, fault.stage2 && fault.tableWalk ? (syndrome | ISS_S1PTW) >>> 0 : syndrome)
    if (fault.stage2) {
      const frame = Math.floor(fault.ipa / PAGE_BYTES) * 16
      this.#u32[S.S_FAULT_STAGE >>> 2] = isBeyond ? S.STAGE_2_BEYOND : 2
      this.#u32[S.S_FAULT_HPFAR >>> 2] = frame >>> 0
      this.#u32[(S.S_FAULT_HPFAR >>> 2) + 1] = Math.floor(frame / 2 ** 32)
    }
    return STATUS_FAULT
  }
}
