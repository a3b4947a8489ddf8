import type { Tlb } from '@retrap/engine'
import { PAGE_BYTES } from '@retrap/memory'
import {
  SLOW_DIRECT,
  SLOW_LOCKED,
  SLOW_MODIFY,
  SLOW_PARTS_SHIFT,
  SLOW_PROBE,
  SLOW_STACK,
  SLOW_WRITE,
} from '../state/host.ts'
import { S_TLB } from '../state/state-layout.ts'

/** Pages that are remembered; a power of two. */
const PAGES = 8
/** Bits of an access that is made as the one before: a store or the probe for one, or the load of an instruction that stores. */
const PLAIN =
  0xff | SLOW_WRITE | SLOW_MODIFY | SLOW_STACK | SLOW_DIRECT | SLOW_PROBE | SLOW_LOCKED | (7 << SLOW_PARTS_SHIFT)
const STORES = SLOW_WRITE | SLOW_MODIFY

/**
 * Pages with decoded code that were written: they have no write entries in the TLB, as each store must be seen. DOS programs and
 * boot sectors have stack, data and code in one page: what the TLB would know of it is remembered here.
 */
export class PagesBesideCode {
  readonly #tlb: Tlb
  readonly #u32: Uint32Array
  /** State of the TLB under which the pages were remembered. */
  #changes = -1
  #drops = -1
  #set = -1
  /** By the low bits of the page's number: its linear address's words, and its machine address. */
  readonly #lo = new Int32Array(PAGES)
  readonly #hi = new Int32Array(PAGES)
  readonly #ma = new Uint32Array(PAGES)

  /** @param u32 - the state area */
  constructor(tlb: Tlb, u32: Uint32Array) {
    this.#tlb = tlb
    this.#u32 = u32
  }

  /**
   * Finds where an access goes that stores to a remembered page, or will.
   *
   * @param lo - and `hi`: signed, as they come from WebAssembly
   * @returns a machine address; 0 for any other access
   */
  find(lo: number, hi: number, flags: number): number {
    if ((flags & ~PLAIN) !== 0 || (flags & STORES) === 0) return 0
    const i = (lo >>> 12) & (PAGES - 1)
    const offset = lo & (PAGE_BYTES - 1)
    return this.#lo[i] === (lo & -PAGE_BYTES) &&
      this.#hi[i] === hi &&
      this.#ma[i] !== 0 &&
      offset + (flags & 0xff) <= PAGE_BYTES &&
      this.#isCurrent
      ? this.#ma[i]! + offset
      : 0
  }

  /** The TLB set that generated code uses stands for the mode, and for a logged pass. */
  get #isCurrent(): boolean {
    const tlb = this.#tlb
    return this.#changes === tlb.changes && this.#drops === tlb.writableDrops && this.#set === this.#u32[S_TLB >>> 2]
  }

  /** Remembers a page that the guest may write. @param page - its machine address */
  remember(lo: number, hi: number, page: number): void {
    if (!this.#isCurrent) {
      this.#changes = this.#tlb.changes
      this.#drops = this.#tlb.writableDrops
      this.#set = this.#u32[S_TLB >>> 2]!
      this.#ma.fill(0)
    }
    const i = (lo >>> 12) & (PAGES - 1)
    this.#lo[i] = lo & -PAGE_BYTES
    this.#hi[i] = hi
    this.#ma[i] = page
  }
}
