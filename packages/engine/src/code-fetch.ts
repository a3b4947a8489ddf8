import { PAGE_BYTES, PAGE_SHIFT, type MachineMemory } from '@retrap/memory'
import { STATUS_DONE, STATUS_ERROR, STATUS_FAULT } from '@retrap/replay'
import type { CodeCache } from './code-cache.ts'
import type { CodePage } from './code-page.ts'
import { OP_CROSS, R_OFFSET, R_OP } from './record.ts'
import type { StateLayout } from './loop-state.ts'
import { STATUS_STEP } from './status.ts'
import { TLB_EXECUTE, type TranslatedPage } from './tlb-layout.ts'
import type { Tlb } from './tlb.ts'

/** The translation of one byte of code. */
export interface CodeTranslation extends TranslatedPage {
  /** Machine address of the byte if it is in plain memory, else −1. */
  ma: number
  /** The translation may go into the TLB. */
  cacheable: boolean
}

/** An instruction set's translation of code addresses. One object per processor. */
export interface CodeSpace<Into extends CodeTranslation> {
  /** The present TLB set for execute entries; the miss set if none may be kept. */
  readonly executeSet: number
  /** The set for the second page of an instruction: the miss set if such a page must be checked each time. */
  readonly secondPageSet: number
  /**
   * Checks that an instruction may begin at a linear address, before that is translated.
   *
   * @returns STATUS_DONE; STATUS_FAULT with the exception in the state; STATUS_STEP if the bytes must be checked one by one
   */
  check(lo: number, hi: number): number
  /**
   * Translates the linear address of a byte of code.
   *
   * @returns STATUS_DONE; STATUS_FAULT with the exception in the state; or another status that the interpreter ends with
   */
  translate(lo: number, hi: number, into: Into): number
  /**
   * Checks that an instruction may go on at the first byte of the next page, before that is translated.
   *
   * @returns STATUS_DONE; STATUS_STEP if the bytes must be checked one by one
   */
  checkSecondPage(lo: number, hi: number): number
  /** Returns the offsets of the breakpoints in the page of a linear address, if it has any: such instructions are executed alone. */
  breakpoints?(lo: number, hi: number): ReadonlySet<number> | undefined
  /** Returns the mode that the page of a linear address decodes in now; absent: the processor's, {@link StateLayout.mode}. */
  modeAt?(lo: number): number
  /** Makes an object for {@link CodeSpace.translate} to fill in. */
  newTranslation(): Into
  /** Returns the high word of the linear address whose low word has just wrapped to zero. */
  nextHigh(hi: number): number
  /** Takes back an exception of {@link CodeSpace.translate}: the fetch was not the program's. */
  dropFault(): void
}

/**
 * Finds the record of the instruction at a linear address: the `fetch` and `cross` imports of the dispatch loop.
 *
 * It translates the address, finds or decodes the record in the code cache, and makes execute entries of the TLB, with
 * which generated code finds the next records of the page by itself.
 */
export class CodeFetch<Into extends CodeTranslation> {
  /** The error that was thrown, after STATUS_ERROR. */
  error: unknown = undefined
  readonly #memory: MachineMemory
  readonly #state: number
  readonly #u32: Uint32Array
  readonly #cache: CodeCache
  readonly #tlb: Tlb
  readonly #space: CodeSpace<Into>
  readonly #translation: Into
  readonly #secondTranslation: Into
  /** Indices of the state's fields. */
  readonly #mode: number
  readonly #pageBase: number
  readonly #slots: number
  readonly #alone: number
  readonly #status: number
  /** Offset of the entry record. */
  readonly #entry: number

  /**
   * Makes the look-up of one processor.
   *
   * @param state - machine address of the processor's state
   */
  constructor(
    memory: MachineMemory,
    state: number,
    layout: StateLayout,
    cache: CodeCache,
    tlb: Tlb,
    space: CodeSpace<Into>,
  ) {
    this.#memory = memory
    this.#state = state
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#cache = cache
    this.#tlb = tlb
    this.#space = space
    this.#translation = space.newTranslation()
    this.#secondTranslation = space.newTranslation()
    this.#mode = layout.mode >>> 2
    this.#pageBase = layout.pageBase >>> 2
    this.#slots = layout.slots >>> 2
    this.#alone = layout.alone >>> 2
    this.#status = layout.fetchStatus >>> 2
    this.#entry = layout.entry
  }

  /**
   * Finds the record at a linear address, to continue at it.
   *
   * @param lo - low word, unsigned
   * @param hi - high word, unsigned
   * @returns machine address of the record; 0 with the reason in {@link StateLayout.fetchStatus}
   */
  fetch(lo: number, hi: number): number {
    try {
      const record = this.#locate(lo, hi, this.#space.executeSet, false)
      if (record === 0) this.leaveAt(lo, hi)
      return record
    } catch (error) {
      this.error = error
      this.leaveAt(lo, hi)
      this.#u32[this.#status] = STATUS_ERROR
      return 0
    }
  }

  /** Finds the record at a linear address, to execute it alone: as {@link CodeFetch.fetch}, but the TLB gets no entry of its page. */
  fetchOne(lo: number, hi: number): number {
    return this.#locate(lo, hi, this.#tlb.missSet, true)
  }

  /** Makes the dispatch loop report a linear address as the program counter. */
  leaveAt(lo: number, hi: number): void {
    this.#u32[this.#pageBase] = lo & ~(PAGE_BYTES - 1)
    this.#u32[this.#pageBase + 1] = hi
    this.#memory.u16[(this.#state + this.#entry + R_OFFSET) >>> 1] = lo & (PAGE_BYTES - 1)
  }

  /** Returns 1 if the page-crossing instruction after an `OP_CROSS` record is still mapped at its address, else 0. */
  cross(record: number): number {
    const { u16 } = this.#memory
    const lo = (this.#u32[this.#pageBase]! + u16[(record + R_OFFSET) >>> 1]!) >>> 0
    const hi = this.#u32[this.#pageBase + 1]!
    if (u16[(record + R_OP) >>> 1] !== OP_CROSS) return 0
    const { flushes } = this.#cache
    if (this.#secondPageHolds(record, lo, hi)) return 1
    // If the second page is missing, the fetch that follows raises the fault; else it decodes the instruction anew.
    this.#space.dropFault()
    const t = this.#translation
    const translated = this.#translate(lo, hi, t)
    if (translated === STATUS_DONE && t.ma >= 0 && flushes === this.#cache.flushes) {
      this.#cache.dropCrossing(this.#pageOf(lo, t), record)
    }
    this.#space.dropFault()
    return 0
  }

  /** As {@link CodeSpace.translate}, without a walk for a page that has an execute entry, whatever is decoded of it. */
  #translate(lo: number, hi: number, into: Into): number {
    const isFound = this.#tlb.find(this.#space.executeSet, TLB_EXECUTE, lo, hi, into)
    return isFound ? STATUS_DONE : this.#space.translate(lo, hi, into)
  }

  /** @param lo - low word of a linear address in the page */
  #pageOf(lo: number, t: Into): CodePage {
    return this.#cache.page(t.ma >>> PAGE_SHIFT, this.#space.modeAt?.(lo) ?? this.#u32[this.#mode]!)
  }

  #end(status: number): number {
    this.#u32[this.#status] = status
    return 0
  }

  /** As {@link CodeFetch.#pageOf}, with the breakpoints of the linear page. */
  #trapped(lo: number, hi: number, t: Into): CodePage {
    const page = this.#pageOf(lo, t)
    const offsets = this.#space.breakpoints?.(lo, hi)
    if (offsets !== undefined) this.#cache.trap(page, offsets)
    return page
  }

  /** @param set - TLB set that gets an entry of the page */
  #locate(lo: number, hi: number, set: number, alone: boolean): number {
    const u32 = this.#u32
    const cache = this.#cache
    const space = this.#space
    const checked = space.check(lo, hi)
    if (checked !== STATUS_DONE) return this.#end(checked)
    const t = this.#translation
    const translated = this.#translate(lo, hi, t)
    if (translated !== STATUS_DONE) return this.#end(translated)
    if (t.ma < 0) return this.#end(STATUS_STEP)
    const page = this.#trapped(lo, hi, t)
    u32[this.#pageBase] = lo & ~(PAGE_BYTES - 1)
    u32[this.#pageBase + 1] = hi
    u32[this.#slots] = page.slots
    this.#fillExecute(set, lo, hi, page, t)
    const offset = lo & (PAGE_BYTES - 1)
    if (!alone && page.traps?.has(offset) === true) return this.#end(STATUS_STEP)
    let record = cache.record(page, offset)
    if (record !== 0) {
      const { flushes } = cache
      // Decoding may have dropped everything, this page included.
      const now = this.#pageOf(lo, t)
      u32[this.#slots] = now.slots
      if (now !== page) this.#fillExecute(set, lo, hi, now, t)
      if (this.#memory.u16[(record + R_OP) >>> 1] !== OP_CROSS || this.#secondPageHolds(record, lo, hi)) return record
      if (u32[this.#status] === STATUS_FAULT) return 0
      if (flushes === cache.flushes) cache.dropCrossing(page, record)
    }
    const second = this.#secondPage(lo, hi)
    if (second === undefined) return 0
    record = cache.crossing(this.#pageOf(lo, t), offset, second)
    if (record === 0) {
      cache.flush()
      record = cache.crossing(this.#pageOf(lo, t), offset, cache.page(second.frame, second.mode))
    }
    u32[this.#slots] = this.#pageOf(lo, t).slots
    return record
  }

  /** Returns the code page after the one that holds a linear address; undefined with the reason in the state. */
  #secondPage(lo: number, hi: number): CodePage | undefined {
    const space = this.#space
    const next = ((lo & ~(PAGE_BYTES - 1)) + PAGE_BYTES) >>> 0
    const nextHi = next === 0 ? space.nextHigh(hi) : hi
    const t = this.#secondTranslation
    const checked = space.checkSecondPage(next, nextHi)
    const status = checked === STATUS_DONE ? this.#translate(next, nextHi, t) : checked
    if (status !== STATUS_DONE || t.ma < 0) {
      this.#end(status === STATUS_DONE ? STATUS_STEP : status)
      return undefined
    }
    const page = this.#trapped(next, nextHi, t)
    this.#fillExecute(space.secondPageSet, next, nextHi, page, t)
    return page
  }

  /** Makes generated code find a code page by itself. */
  #fillExecute(set: number, lo: number, hi: number, page: CodePage, t: Into): void {
    if (!t.cacheable || set === this.#tlb.missSet || this.#u32[this.#alone] !== 0) return
    this.#tlb.fill(set, TLB_EXECUTE, lo, hi, page.slots, t)
  }

  #secondPageHolds(record: number, lo: number, hi: number): boolean {
    this.#u32[this.#status] = STATUS_DONE
    const { flushes } = this.#cache
    const second = this.#secondPage(lo, hi)
    // A flush drops the record, and a new slot table may reuse the address of the second page's.
    return second !== undefined && flushes === this.#cache.flushes && this.#cache.crossesInto(record, second)
  }
}
