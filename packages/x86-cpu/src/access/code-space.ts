import type { CodeSpace, Tlb } from '@retrap/engine'
import { ACCESS_FETCH, ACCESS_USER } from '@retrap/paging'
import type { AccessLog } from '@retrap/replay'
import type { DebugSlot } from '../system/breakpoints.ts'
import type { AccessMode } from './access-mode.ts'
import type { CpuHost, Translation } from '../state/host.ts'
import * as S from '../state/state-layout.ts'
import { CR4_LA57 } from '../state/architecture.ts'
import { newTranslation } from './translation.ts'
import { VECTOR_GP, VECTOR_PF } from '../state/vectors.ts'

const LAST_PAGE = 0xffff_f000
/** The last offset in a segment at which a page may begin that 16-bit branches cannot leave by wrapping. */
const LAST_WHOLE = 0xf000
/** Bytes of an instruction after its first one, less one: an offset from which this many are within a segment has them all. */
const MOST_ON_SECOND_PAGE = 13

/** Where a vCPU's instructions may lie: canonical addresses, the limit of CS, and the translation of fetches. */
export class X86CodeSpace implements CodeSpace<Translation> {
  readonly #u32: Uint32Array
  readonly #host: CpuHost
  readonly #tlb: Tlb
  readonly #mode: AccessMode
  readonly #debug: DebugSlot
  /** One instruction is looked up, to be executed alone. */
  alone = false

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, host: CpuHost, tlb: Tlb, mode: AccessMode, debug: DebugSlot) {
    this.#u32 = u32
    this.#host = host
    this.#tlb = tlb
    this.#mode = mode
    this.#debug = debug
  }

  get executeSet(): number {
    return this.#mode.executeSet
  }

  newTranslation(): Translation {
    return newTranslation()
  }

  /** The miss set outside 64-bit mode, where the page may cross the limit of CS: each fetch is checked. */
  get secondPageSet(): number {
    return this.#u32[S.S_MODE >>> 2] === S.MODE_64 ? this.#mode.executeSet : S.TLB_MISS
  }

  breakpoints(lo: number, hi: number): ReadonlySet<number> | undefined {
    return this.#debug.hooks?.points.breakpointsIn(lo, hi)
  }

  /** Canonical addresses, and the limit of CS. */
  check(lo: number, hi: number): number {
    const u32 = this.#u32
    if (u32[S.S_MODE >>> 2] === S.MODE_64) {
      const unused = (u32[S.S_CR4 >>> 2]! & CR4_LA57) === 0 ? 16 : 7
      return (hi << unused) >> unused === (hi | 0) ? S.STATUS_DONE : this.fault(lo, hi, VECTOR_GP, 0)
    }
    const base = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!
    const limit = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2]!
    const offset = (lo - base) >>> 0
    if (offset > limit) return this.fault(lo, hi, VECTOR_GP, 0)
    // The page must lie within the segment as a whole; of 16-bit code its end must. After the last one of all, linear addresses
    // begin again at 0.
    const isInside =
      this.#isWhole(lo) || (u32[S.S_MODE >>> 2] === S.MODE_16 && ((lo | 0xfff) >>> 0) - base <= limit && lo >= base)
    return isInside && lo >>> 0 < LAST_PAGE ? S.STATUS_DONE : S.STATUS_STEP
  }

  /** Whether the page of an address lies within CS as a whole. */
  #isWhole(lo: number): boolean {
    const u32 = this.#u32
    const base = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!
    const limit = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2]!
    const start = ((lo & ~0xfff) - base) >>> 0
    return start <= (lo - base) >>> 0 && limit >= 0xfff && start <= limit - 0xfff
  }

  modeAt(lo: number): number {
    const mode = this.#u32[S.S_MODE >>> 2]!
    if (mode !== S.MODE_16) return mode === S.MODE_64 && this.#u32[S.S_APX_GATE >>> 2] === 0 ? S.MODE_64_APX : mode
    const start = ((lo & ~0xfff) - this.#u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!) >>> 0
    return start <= LAST_WHOLE && this.#isWhole(lo) ? S.MODE_16 : S.MODE_16_EDGE
  }

  /** The longest instruction's bytes must lie within the limit of CS. */
  checkSecondPage(lo: number): number {
    const u32 = this.#u32
    if (u32[S.S_MODE >>> 2] === S.MODE_64) return S.STATUS_DONE
    const base = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]!
    const limit = u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2]!
    return (lo - base) >>> 0 <= limit - MOST_ON_SECOND_PAGE ? S.STATUS_DONE : S.STATUS_STEP
  }

  /** @param log - of a logged pass */
  translate(lo: number, hi: number, into: Translation, log: AccessLog | null = null): number {
    const access = ACCESS_FETCH | (this.#u32[S.S_CPL >>> 2] === 3 ? ACCESS_USER : 0)
    const status = this.#host.translate(lo, hi, access, into, log)
    if (status !== S.STATUS_FAULT) return status
    this.#tlb.invalidatePage(lo, hi)
    return this.fault(lo, hi, VECTOR_PF, into.errorCode)
  }

  nextHigh(hi: number): number {
    return this.#u32[S.S_MODE >>> 2] === S.MODE_64 ? (hi + 1) >>> 0 : hi
  }

  dropFault(): void {
    this.#u32[S.S_FAULT_VECTOR >>> 2] = -1
  }

  /** Raises an exception of a fetch. @returns STATUS_FAULT */
  fault(lo: number, hi: number, vector: number, errorCode: number): number {
    const u32 = this.#u32
    u32[S.S_FAULT_VECTOR >>> 2] = vector
    u32[S.S_FAULT_ERROR >>> 2] = errorCode
    u32[S.S_FAULT_HAS_ERROR >>> 2] = 1
    u32[S.S_FAULT_ADDRESS >>> 2] = lo
    u32[(S.S_FAULT_ADDRESS >>> 2) + 1] = hi
    return S.STATUS_FAULT
  }
}
