import { PAGE_BYTES } from '@retrap/memory'
import { TLB_EXECUTE } from '@retrap/engine'
import type { CodeCache, CodePage, Tlb } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { ACCESS_FETCH, ACCESS_USER } from '@retrap/paging'
import { AccessKind, AccessState, accessTag } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import type { AccessMode } from './access-mode.ts'
import { DEVICE_LOGGED } from './host.ts'
import type { CpuHost, Translation, Words } from './host.ts'
import {
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_LEAVE,
  RECORD_BYTES,
  R_DISP,
  R_LENGTH,
  R_OFFSET,
  R_OP,
  R_SEGMENT,
  SEGMENT_LINK,
} from './record.ts'
import { VECTOR_GP, VECTOR_PF } from './vectors.ts'
import {
  CS,
  MODE_64,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_STEP,
  S_CPL,
  S_CR4,
  S_ENTRY,
  S_FAULT_ADDRESS,
  S_FAULT_ERROR,
  S_FAULT_HAS_ERROR,
  S_FAULT_VECTOR,
  S_FETCH_STATUS,
  S_LOGGED,
  S_MODE,
  S_PAGE_BASE,
  S_PINNED,
  S_RIP,
  S_SEGMENTS,
  S_SLOTS,
} from './state-layout.ts'
import { TLB_MISS } from './tlb-sets.ts'
import { CR4_LA57 } from './system/architecture.ts'
import { newTranslation } from './translation.ts'

/**
 * How a vCPU comes from a linear address to the record of the instruction there: translation, segment limit, the cache of
 * decoded instructions, and what lies in two pages or outside RAM.
 */
export class InstructionFetch {
  readonly memory: MachineMemory
  readonly host: CpuHost
  /** Machine address of the state. */
  readonly state: number
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly #cache: CodeCache
  readonly #tlb: Tlb
  readonly #mode: AccessMode
  readonly #translation: Translation = newTranslation()
  readonly #secondTranslation: Translation = newTranslation()
  readonly #words: Words = { lo: 0, hi: 0 }
  readonly #fetchBytes = new Uint8Array(32)
  /** Look-ups that generated code could not do by itself. */
  count = 0
  /** What broke, after STATUS_ERROR. */
  error: unknown = undefined

  constructor(memory: MachineMemory, host: CpuHost, cache: CodeCache, tlb: Tlb, mode: AccessMode, state: number) {
    this.memory = memory
    this.host = host
    this.state = state
    this.u16 = memory.u16.subarray(state >>> 1)
    this.u32 = memory.u32.subarray(state >>> 2)
    this.i32 = memory.i32.subarray(state >>> 2)
    this.#cache = cache
    this.#tlb = tlb
    this.#mode = mode
  }

  /** Linear address of RIP. */
  #linearRip(): void {
    const rip = this.u32[S_RIP >>> 2] as number
    const base = this.u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
    if (this.u32[S_MODE >>> 2] === MODE_64) {
      this.#words.lo = rip
      this.#words.hi = this.u32[(S_RIP >>> 2) + 1] as number
    } else {
      this.#words.lo = (rip + base) >>> 0
      this.#words.hi = 0
    }
  }

  /** Copies the record of the instruction at RIP to where nothing else overwrites it, followed by a stop. */
  pinCurrent(): number {
    this.#linearRip()
    const { lo, hi } = this.#words
    const record = this.#fetchOne(lo, hi)
    if (record === 0) return this.u32[S_FETCH_STATUS >>> 2] as number
    this.pin(record)
    return STATUS_DONE
  }

  /**
   * The same in a logged pass, byte by byte.
   *
   * @returns STATUS_DONE, STATUS_FAULT, STATUS_RETRY
   */
  pinLogged(log: AccessLog): number {
    this.#linearRip()
    const { lo, hi } = this.#words
    const record = this.#fetchBytewise(lo, hi, log)
    if (record === 0) return this.u32[S_FETCH_STATUS >>> 2] as number
    this.pin(record)
    return STATUS_DONE
  }

  /** Has the instructions that follow the pinned one come after it. */
  followPinned(): void {
    this.memory.u16[(this.state + S_PINNED + RECORD_BYTES + R_OP) >>> 1] = OP_CONTINUE
  }

  pin(record: number): void {
    const at = this.state + S_PINNED
    const { u8, u16, u32 } = this.memory
    if (record !== at) {
      let from = (u16[(record + R_OP) >>> 1] === OP_CROSS ? record + RECORD_BYTES : record) >>> 2
      let to = at >>> 2
      for (const end = to + (RECORD_BYTES >>> 2); to < end; to++, from++) u32[to] = u32[from] as number
      // Its own walks may have changed the page that it lies in, even its bytes: it is executed as it was fetched. (The
      // SDM leaves open when a processor sees that; vol. 3A, "Self-Modifying Code", is about stores.)
      u16[(at + R_OP) >>> 1]! &= OP_DEAD - 1
      // A link would lead on past the one instruction that is to be executed.
      if (((u8[at + R_SEGMENT] as number) & SEGMENT_LINK) !== 0) u32[(at + R_DISP) >>> 2] = 0
    }
    const next = at + RECORD_BYTES
    u16[(next + R_OP) >>> 1] = OP_LEAVE
    u16[(next + R_OFFSET) >>> 1] = (u16[(at + R_OFFSET) >>> 1] as number) + (u8[at + R_LENGTH] as number)
  }

  /** Import of generated code: the record at a linear address, or 0 with the reason in S_FETCH_STATUS. */
  fetch(lo: number, hi: number): number {
    this.count++
    try {
      const record = this.#locate(lo, hi, true)
      if (record === 0) this.#leaveAt(lo, hi)
      return record
    } catch (error) {
      this.error = error
      this.#leaveAt(lo, hi)
      this.u32[S_FETCH_STATUS >>> 2] = STATUS_ERROR
      return 0
    }
  }

  /** Makes generated code report a linear address as RIP. */
  #leaveAt(lo: number, hi: number): void {
    this.u32[S_PAGE_BASE >>> 2] = lo & ~0xfff
    this.u32[(S_PAGE_BASE >>> 2) + 1] = hi
    this.u16[(S_ENTRY + R_OFFSET) >>> 1] = lo & 0xfff
  }

  /** For a single instruction, in places where generated code does not run freely. */
  #fetchOne(lo: number, hi: number): number {
    const record = this.#locate(lo, hi, false)
    if (record !== 0 || this.u32[S_FETCH_STATUS >>> 2] !== STATUS_STEP) return record
    return this.#fetchBytewise(lo, hi)
  }

  #fetchFault(lo: number, hi: number, vector: number, errorCode: number): number {
    const u32 = this.u32
    u32[S_FAULT_VECTOR >>> 2] = vector
    u32[S_FAULT_ERROR >>> 2] = errorCode
    u32[S_FAULT_HAS_ERROR >>> 2] = 1
    u32[S_FAULT_ADDRESS >>> 2] = lo
    u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
    u32[S_FETCH_STATUS >>> 2] = STATUS_FAULT
    return 0
  }

  #translateFetch(lo: number, hi: number, into: Translation, log: AccessLog | null = null): boolean {
    const access = ACCESS_FETCH | (this.u32[S_CPL >>> 2] === 3 ? ACCESS_USER : 0)
    const status = this.host.translate(lo, hi, access, into, log)
    if (status === STATUS_DONE) return true
    if (status === STATUS_FAULT) {
      this.#tlb.invalidatePage(lo, hi)
      this.#fetchFault(lo, hi, VECTOR_PF, into.errorCode)
    } else this.u32[S_FETCH_STATUS >>> 2] = status
    return false
  }

  /** @param run - for running on from there: the page goes into the execute table */
  #locate(lo: number, hi: number, run: boolean): number {
    const u32 = this.u32
    const mode = u32[S_MODE >>> 2] as number
    if (mode === MODE_64) {
      const unused = (u32[S_CR4 >>> 2]! & CR4_LA57) === 0 ? 16 : 7
      if ((hi << unused) >> unused !== (hi | 0)) return this.#fetchFault(lo, hi, VECTOR_GP, 0)
    } else {
      const base = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
      const limit = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT) >>> 2] as number
      const offset = (lo - base) >>> 0
      if (offset > limit) return this.#fetchFault(lo, hi, VECTOR_GP, 0)
      // The page must lie within the segment as a whole, and the next instruction's bytes with it.
      const start = ((lo & ~0xfff) - base) >>> 0
      if (start > offset || limit < 0x1010 || start > limit - 0x1010) {
        u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
        return 0
      }
    }
    const t = this.#translation
    if (!this.#translateFetch(lo, hi, t)) return 0
    if (t.ma < 0) {
      u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
      return 0
    }
    const cache = this.#cache
    const page = cache.page(t.ma >>> 12, mode)
    u32[S_PAGE_BASE >>> 2] = lo & ~0xfff
    u32[(S_PAGE_BASE >>> 2) + 1] = hi
    u32[S_SLOTS >>> 2] = page.slots
    if (run) this.#fillExecute(lo, hi, page, t)
    const offset = lo & 0xfff
    let record = cache.record(page, offset)
    if (record !== 0) {
      // Decoding may have dropped everything, this page included.
      u32[S_SLOTS >>> 2] = cache.page(t.ma >>> 12, mode).slots
      if (u32[S_SLOTS >>> 2] !== page.slots && run) this.#tlb.flushExecute()
      if (this.memory.u16[(record + R_OP) >>> 1] !== OP_CROSS || this.#secondPageHolds(record, lo, hi, mode))
        return record
      if (u32[S_FETCH_STATUS >>> 2] === STATUS_FAULT && this.i32[S_FAULT_VECTOR >>> 2] !== -1) return 0
      cache.dropCrossing(page, record)
    }
    const second = this.#secondPage(lo, hi, mode)
    if (second === undefined) return 0
    record = cache.crossing(cache.page(t.ma >>> 12, mode), offset, second)
    if (record === 0) {
      cache.flush()
      record = cache.crossing(cache.page(t.ma >>> 12, mode), offset, cache.page(second.frame, mode))
    }
    u32[S_SLOTS >>> 2] = cache.page(t.ma >>> 12, mode).slots
    return record
  }

  /** The code page after the one that holds a linear address; undefined with S_FETCH_STATUS where there is none. */
  #secondPage(lo: number, hi: number, mode: number): CodePage | undefined {
    const next = ((lo & ~0xfff) + PAGE_BYTES) >>> 0
    const nextHi = next === 0 && mode === MODE_64 ? (hi + 1) >>> 0 : hi
    const t = this.#secondTranslation
    if (!this.#translateFetch(next, nextHi, t)) return undefined
    if (t.ma < 0) {
      this.u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
      return undefined
    }
    const page = this.#cache.page(t.ma >>> 12, mode)
    // Outside 64-bit mode the page may reach beyond the segment's limit, which nothing would check again.
    if (mode === MODE_64) this.#fillExecute(next, nextHi, page, t)
    return page
  }

  /** Lets generated code find a code page by itself. */
  #fillExecute(lo: number, hi: number, page: CodePage, t: Translation): void {
    if (!t.cacheable || this.#mode.executeSet === TLB_MISS || this.u32[S_LOGGED >>> 2] !== 0) return
    this.#tlb.fill(this.#mode.executeSet, TLB_EXECUTE, lo, hi, page.slots, t)
  }

  #secondPageHolds(record: number, lo: number, hi: number, mode: number): boolean {
    this.u32[S_FETCH_STATUS >>> 2] = STATUS_DONE
    const second = this.#secondPage(lo, hi, mode)
    return second !== undefined && this.#cache.crossesInto(record, second)
  }

  /** Import of generated code: 1 if the page-crossing instruction after this record is still what is mapped there. */
  cross(record: number): number {
    const lo = ((this.u32[S_PAGE_BASE >>> 2] as number) + (this.memory.u16[(record + R_OFFSET) >>> 1] as number)) >>> 0
    const hi = this.u32[(S_PAGE_BASE >>> 2) + 1] as number
    const mode = this.u32[S_MODE >>> 2] as number
    if (this.memory.u16[(record + R_OP) >>> 1] !== OP_CROSS) return 0
    if (this.#secondPageHolds(record, lo, hi, mode)) return 1
    // A missing second page is a fault of the fetch, which looks again; anything else is decoded anew.
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    const t = this.#translation
    if (this.#translateFetch(lo, hi, t) && t.ma >= 0) {
      this.#cache.dropCrossing(this.#cache.page(t.ma >>> 12, mode), record)
    }
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    return 0
  }

  /**
   * Byte by byte, with the segment limit and devices looked at for each: near a segment's end, or outside RAM.
   *
   * @param log - of a logged pass: bytes are read once
   */
  #fetchBytewise(lo: number, hi: number, log: AccessLog | null = null): number {
    const u32 = this.u32
    const mode = u32[S_MODE >>> 2] as number
    const base = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
    const limit = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT) >>> 2] as number
    const bytes = this.#fetchBytes
    const at = this.state + S_PINNED
    this.#leaveAt(lo, hi)
    const t = this.#translation
    const offset = lo & 0xfff
    let count = 0
    // Bytes of RAM may be read ahead; a device, or a page that may be one, is asked for no more than is needed.
    const careful = log !== null
    for (; count < 15; count++) {
      const byteLo = (lo + count) >>> 0
      const byteHi = byteLo < lo && mode === MODE_64 ? (hi + 1) >>> 0 : hi
      const needed = careful || (byteLo & 0xfff) === 0
      if (needed && count > 0 && this.#isWhole(at, bytes, count, mode, offset)) return at
      let status = STATUS_DONE
      if (mode !== MODE_64 && (byteLo - base) >>> 0 > limit) {
        this.#fetchFault(byteLo, byteHi, VECTOR_GP, 0)
        status = STATUS_FAULT
      } else if (!this.#translateFetch(byteLo, byteHi, t, log)) status = STATUS_FAULT
      else if (log !== null) {
        status = this.#loggedByte(log, byteLo, byteHi, count)
        bytes[count] = this.#words.lo
        if (status === STATUS_RETRY) {
          u32[S_FETCH_STATUS >>> 2] = status
          return 0
        }
      } else if (t.ma >= 0) bytes[count] = this.memory.u8[t.ma] as number
      // However fast a device is: a later byte, or what the instruction accesses, may be another's that is not.
      else status = STATUS_RESTART
      if (status !== STATUS_DONE) {
        // What is there may be an instruction already; only one that needs the missing byte faults.
        if (count === 0 || !this.#isWhole(at, bytes, count, mode, offset)) {
          if (status !== STATUS_FAULT) u32[S_FETCH_STATUS >>> 2] = status
          return 0
        }
        this.i32[S_FAULT_VECTOR >>> 2] = -1
        return at
      }
    }
    this.#cache.decodeBytes(at, bytes, count, mode, offset)
    return at
  }

  /** Whether the bytes up to here are an instruction, or can be none; if so, the record of that is at `at`. */
  #isWhole(at: number, bytes: Uint8Array, count: number, mode: number, offset: number): boolean {
    return this.#cache.decodeBytes(at, bytes, count, mode, offset) <= count
  }

  /** One instruction byte in a logged pass, at what was just translated; it is then in `#words`. */
  #loggedByte(log: AccessLog, lo: number, hi: number, position: number): number {
    const t = this.#translation
    const known = log.nextKind()
    const device = known >= 0 ? known === AccessKind.MMIO_READ : t.ma < 0
    const gpaHi = Math.floor(t.gpa / 0x1_0000_0000)
    const index = device
      ? log.access(AccessKind.MMIO_READ, t.gpa >>> 0, gpaHi, 1, accessTag(0, position))
      : log.access(AccessKind.FETCH, lo, hi, 1, accessTag(0, position))
    if (log.state(index) !== AccessState.COMPLETE) {
      if (device) {
        const status = this.host.physicalRead(t.gpa, 1, this.#words, DEVICE_LOGGED)
        if (status === STATUS_RETRY) log.wait(index)
        if (status !== STATUS_DONE) return status
      } else this.#words.lo = this.memory.u8[t.ma] as number
      log.setData(index, this.#words.lo, 0)
      log.complete(index)
    }
    this.#words.lo = log.dataLo(index)
    return STATUS_DONE
  }
}
