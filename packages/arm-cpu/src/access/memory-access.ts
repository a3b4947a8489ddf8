import { STATUS_DONE, STATUS_FAULT, STATUS_STEP, type StoreWatch, TLB_READ, TLB_WRITE, type Tlb } from '@retrap/engine'
import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import * as A from '../state/access-rights.ts'
import type { DebugSlot } from './debug-stops.ts'
import { newTranslation, TRANSLATE_READ, TRANSLATE_WRITE, type ArmTranslation } from '../state/host.ts'
import { POINTER_TAGGED, S_ALONE, S_ATTENTION, S_DATA, S_POINTERS } from '../state/state-layout.ts'
import { cacheAbort, dataAbort, FSC_ALIGNMENT, FSC_EXTERNAL, FSC_UNSUPPORTED, watchpoint } from '../state/syndrome.ts'
import type { Watchpoints } from '../system/watchpoints.ts'
import type { Translation } from './translation.ts'

/** Accesses that generated code leaves out: TLB misses, page-crossing accesses, and writes to decoded code. */
export class MemoryAccess {
  readonly #memory: MachineMemory
  readonly #tlb: Tlb
  readonly #translation: Translation
  readonly #u32: Uint32Array
  readonly #watchpoints: Watchpoints
  readonly #debug: DebugSlot
  /** Machine address of `S_DATA`. */
  readonly #data: number
  readonly #first = newTranslation()
  readonly #second = newTranslation()
  /** Called for stores to some of machine memory; null: nothing observes it. */
  stores: StoreWatch | null = null

  /** @param state - machine address of the processor's state */
  constructor(
    memory: MachineMemory,
    tlb: Tlb,
    translation: Translation,
    state: number,
    watchpoints: Watchpoints,
    debug: DebugSlot,
  ) {
    this.#watchpoints = watchpoints
    this.#debug = debug
    this.#memory = memory
    this.#tlb = tlb
    this.#translation = translation
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#data = state + S_DATA
  }

  /**
   * The import of generated code: makes an access with the bytes at `S_DATA`.
   *
   * @param flags - bytes and `ACCESS_*`
   * @returns a status; STATUS_FAULT with the abort in the state
   */
  access(lo: number, hi: number, flags: number): number {
    const bytes = flags & 0xff
    const write = (flags & A.ACCESS_WRITE) !== 0
    if ((flags & A.ACCESS_DONE) !== 0) {
      this.#memory.noteWrite(lo, bytes)
      return STATUS_DONE
    }
    const misaligned = (lo & ((1 << ((flags >>> A.ACCESS_ELEMENT_SHIFT) & 0xf)) - 1)) !== 0
    const mustBeAligned = (flags & A.ACCESS_ALIGNED) !== 0 || this.#translation.strict
    if (misaligned && mustBeAligned && (flags & A.ACCESS_BLOCK) === 0) return this.#abort(lo, hi, FSC_ALIGNMENT, write)
    if (this.#debug.hooks?.points.watches === true && this.#note(lo, hi, flags)) return STATUS_STEP
    if ((flags & A.ACCESS_MODIFY) !== 0) return this.#modify(lo, hi, flags)
    const kind = write ? TRANSLATE_WRITE : TRANSLATE_READ
    const first = this.#first
    const start = (flags & A.ACCESS_BLOCK) === 0 ? lo : (lo & -bytes) >>> 0
    if (!this.#translation.data(start, hi, flags, kind, first)) {
      if ((flags & A.ACCESS_CACHE) !== 0)
        return this.#translation.raiseAbort(lo, hi, cacheAbort(first.faultStatus), first)
      // Stage 1 determines the memory type before stage 2 is consulted.
      if (first.stage2 && !first.tableWalk && this.#isForbidden(first, misaligned, flags)) {
        return this.#abort(lo, hi, FSC_ALIGNMENT, write)
      }
      return this.#translation.raiseAbort(lo, hi, dataAbort(first.faultStatus, write), first)
    }
    if ((flags & A.ACCESS_CACHE) !== 0) return STATUS_DONE
    if (this.#isForbidden(first, misaligned, flags)) return this.#abort(lo, hi, FSC_ALIGNMENT, write)
    if (first.ma < 0) return this.#abort(lo, hi, FSC_EXTERNAL, write)
    const inFirst = Math.min(bytes, PAGE_BYTES - (start & (PAGE_BYTES - 1)))
    const second = this.#second
    if (inFirst < bytes) {
      const next = (start + inFirst) >>> 0
      const nextHi = next === 0 ? (hi + 1) >>> 0 : hi
      if (!this.#translation.data(next, nextHi, flags, kind, second)) {
        return this.#translation.raiseAbort(next, nextHi, dataAbort(second.faultStatus, write), second, true)
      }
      if (this.#isForbidden(second, misaligned, flags)) return this.#abort(next, nextHi, FSC_ALIGNMENT, write)
      if (second.ma < 0) return this.#abort(next, nextHi, FSC_EXTERNAL, write)
    }
    if (this.#isWatched(start, hi, flags, write)) return this.#watchpoint(write)
    if (this.#mustBeAlone) return STATUS_STEP
    if (write && (this.#meets(first.ma, inFirst) || (inFirst < bytes && this.#meets(second.ma, bytes - inFirst))))
      return STATUS_STEP
    this.#move(first.ma, this.#data, inFirst, write)
    if (inFirst < bytes) this.#move(second.ma, this.#data + inFirst, bytes - inFirst, write)
    this.#fill(lo, hi, flags, write)
    return STATUS_DONE
  }

  /**
   * Reports an access to the debugger, even if the access may fault later.
   *
   * @returns whether the instruction is given up: it has to be executed alone first, or the debugger stops before it
   */
  #note(lo: number, hi: number, flags: number): boolean {
    if ((flags & A.ACCESS_CACHE) !== 0) return false
    const bytes = flags & 0xff
    const start = (flags & A.ACCESS_BLOCK) === 0 ? lo : (lo & -bytes) >>> 0
    const high = this.#untagged(hi)
    const hooks = this.#debug.hooks!
    if (!hooks.points.matches(start, high, bytes)) return false
    if (this.#u32[S_ALONE >>> 2] === 0) return true
    const write = (flags & A.ACCESS_WRITE) !== 0
    return hooks.stopsForAccess(start, high, bytes, write, (flags & A.ACCESS_MODIFY) !== 0 && !write)
  }

  /** The upper half of an address of data, without its tag. */
  #untagged(hi: number): number {
    const isUpper = (hi >>> 23) & 1
    const isTagged = (this.#u32[S_POINTERS >>> 2]! >>> (8 * isUpper + POINTER_TAGGED)) & 1
    return isTagged === 0 ? hi : ((hi & 0xff_ffff) | (isUpper === 0 ? 0 : 0xff00_0000)) >>> 0
  }

  /** Whether a debugger looks at all accesses of a page. */
  #isPageWatched(lo: number, hi: number): boolean {
    const { hooks } = this.#debug
    return hooks !== null && hooks.points.watches && hooks.points.watchesPage(lo, this.#untagged(hi))
  }

  /**
   * Whether the hypervisor wants to be asked before the next instruction: it may have given the page of the present one another
   * frame, as one that is written first since a fork has. An instruction that is executed alone is fetched anew.
   */
  get #mustBeAlone(): boolean {
    return this.#u32[S_ATTENTION >>> 2] !== 0 && this.#u32[S_ALONE >>> 2] === 0
  }

  /** Reports a store that is watched. @returns whether its instruction is given up: it has to be executed alone first */
  #meets(ma: number, bytes: number): boolean {
    if (this.stores?.matches(ma, bytes) !== true) return false
    if (this.#u32[S_ALONE >>> 2] === 0) return true
    this.stores.met()
    return false
  }

  /** Whether an access to Device memory may not be made: one that is not aligned, and DC ZVA. */
  #isForbidden({ device }: ArmTranslation, misaligned: boolean, flags: number): boolean {
    return device && (misaligned || (flags & A.ACCESS_BLOCK) !== 0)
  }

  /** Moves bytes between memory and the state. */
  #move(ma: number, data: number, bytes: number, write: boolean): void {
    if (!write) this.#memory.copyOnce(ma, data, bytes)
    else {
      this.#memory.copyOnce(data, ma, bytes)
      this.#memory.noteWrite(ma, bytes)
    }
  }

  /**
   * Finds the place of an access that is made in place: its machine address goes to `S_DATA`. An address that cannot be read
   * either has faulted as a read, unless it is only written.
   */
  #modify(lo: number, hi: number, flags: number): number {
    const first = this.#first
    const translation = this.#translation
    const write = (flags & A.ACCESS_WRITE) !== 0
    if (!write && !translation.data(lo, hi, flags, TRANSLATE_READ, first)) {
      const second = this.#second
      // Stage 1 must allow the write too before stage 2 is asked for anything.
      const asksStage2 = first.stage2 && !first.tableWalk
      if (asksStage2 && !translation.data(lo, hi, flags, TRANSLATE_WRITE, second) && !second.stage2) {
        return translation.raiseAbort(lo, hi, dataAbort(second.faultStatus, true), second)
      }
      return translation.raiseAbort(lo, hi, dataAbort(first.faultStatus, false), first)
    }
    if (!translation.data(lo, hi, flags, TRANSLATE_WRITE, first)) {
      return translation.raiseAbort(lo, hi, dataAbort(first.faultStatus, true), first)
    }
    if (first.ma < 0) return this.#abort(lo, hi, FSC_UNSUPPORTED, write)
    // If a read would match, report a read, as the syndrome requires.
    if (!write && this.#isWatched(lo, hi, flags, false)) return this.#watchpoint(false)
    if (this.#isWatched(lo, hi, flags, true)) return this.#watchpoint(true)
    if (this.#mustBeAlone || this.#meets(first.ma, flags & 0xff)) return STATUS_STEP
    this.#fill(lo, hi, flags, true)
    this.#u32[S_DATA >>> 2] = first.ma
    return STATUS_DONE
  }

  /**
   * The import of compiled code: looks for the page of an access, which is not made.
   *
   * @returns a status: whether the address is unmapped
   */
  probe(lo: number, hi: number, flags: number): number {
    const write = (flags & (A.ACCESS_WRITE | A.ACCESS_MODIFY)) !== 0
    const kind = write ? TRANSLATE_WRITE : TRANSLATE_READ
    const first = this.#first
    if (this.#isPageWatched(lo, hi)) return STATUS_FAULT
    if (!this.#translation.data(lo, hi, flags, kind, first) || first.ma < 0 || this.#mustBeAlone) return STATUS_FAULT
    this.#fill(lo, hi, flags, write)
    return STATUS_DONE
  }

  /** Has the TLB know the page of an access. Accesses to Device memory are checked each time. */
  #fill(lo: number, hi: number, flags: number, write: boolean): void {
    const { cacheable, device, writable, ma } = this.#first
    if (!cacheable || device || this.#isPageWatched(lo, hi)) return
    const set = this.#translation.dataSet(flags)
    if (set === this.#tlb.missSet) return
    const page = (ma & ~(PAGE_BYTES - 1)) >>> 0
    if (!write) this.#tlb.fill(set, TLB_READ, lo, hi, page, this.#first)
    else if (writable) this.#tlb.fill(set, TLB_WRITE, lo, hi, page, this.#first)
  }

  #isWatched(lo: number, hi: number, flags: number, write: boolean): boolean {
    if (!this.#translation.watched) return false
    return this.#watchpoints.matches(lo, hi, flags & 0xff, write, (flags & A.ACCESS_UNPRIVILEGED) !== 0)
  }

  #watchpoint(write: boolean): number {
    return this.#translation.raise(this.#watchpoints.lo, this.#watchpoints.hi, watchpoint(write))
  }

  #abort(lo: number, hi: number, faultStatus: number, write: boolean): number {
    return this.#translation.raise(lo, hi, dataAbort(faultStatus, write))
  }
}
