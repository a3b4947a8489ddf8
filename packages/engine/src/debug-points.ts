import { linearAddress } from './tlb-layout.ts'

/** Accesses that a watchpoint is for. */
export type WatchKind = 'write' | 'read' | 'access'

/** Watched data that an instruction has accessed. */
export interface WatchedAccess {
  /** Address of the first watched byte touched. */
  readonly address: bigint
  /** The accesses that the watchpoint is for. */
  readonly watch: WatchKind
}

interface Watch {
  readonly start: bigint
  readonly end: bigint
  readonly kind: WatchKind
}

const PAGE_BITS = 12n
const ALL_BITS = 64
const pageOf = (address: bigint): bigint => BigInt.asUintN(ALL_BITS, address) >> PAGE_BITS
const offsetOf = (address: bigint): number => Number(address & 0xfffn)

/** Whether an access of this kind counts. */
const counts = (kind: WatchKind, write: boolean): boolean => kind === 'access' || (kind === 'write') === write

/** A debugger's breakpoints and watchpoints for one processor, by linear address. */
export class DebugPoints {
  /** Offsets of breakpoints, by page. */
  readonly #pages = new Map<bigint, Set<number>>()
  #watched: Watch[] = []
  #access: WatchedAccess | null = null

  /** Whether there are breakpoints. */
  get breaks(): boolean {
    return this.#pages.size > 0
  }

  /** Whether there are watchpoints. */
  get watches(): boolean {
    return this.#watched.length > 0
  }

  /** Adds a breakpoint. */
  addBreakpoint(given: bigint): void {
    const page = pageOf(given)
    const offsets = this.#pages.get(page) ?? new Set<number>()
    this.#pages.set(page, offsets.add(offsetOf(given)))
  }

  /** Removes a breakpoint. @returns whether it existed */
  removeBreakpoint(given: bigint): boolean {
    const page = pageOf(given)
    const offsets = this.#pages.get(page)
    if (offsets?.delete(offsetOf(given)) !== true) return false
    if (offsets.size === 0) this.#pages.delete(page)
    return true
  }

  /** Returns the offsets of the breakpoints in the 4 KiB page of a linear address; undefined: it has none. */
  breakpointsIn(lo: number, hi: number): ReadonlySet<number> | undefined {
    return this.#pages.size === 0 ? undefined : this.#pages.get(linearAddress(lo, hi) >> PAGE_BITS)
  }

  /** Whether a breakpoint is set at a linear address. */
  breaksAt(lo: number, hi: number): boolean {
    return this.breakpointsIn(lo, hi)?.has(lo & 0xfff) === true
  }

  /** Watches bytes. @param length - at least 1 */
  addWatch(address: bigint, length: number, kind: WatchKind): void {
    const start = BigInt.asUintN(ALL_BITS, address)
    this.#watched.push({ start, end: start + BigInt(length), kind })
  }

  /** Removes a watchpoint. @returns whether it existed */
  removeWatch(address: bigint, length: number, kind: WatchKind): boolean {
    const start = BigInt.asUintN(ALL_BITS, address)
    const end = start + BigInt(length)
    const at = this.#watched.findIndex((watch) => watch.start === start && watch.end === end && watch.kind === kind)
    if (at >= 0) this.#watched.splice(at, 1)
    return at >= 0
  }

  /** Whether the page of a linear address has watched data. */
  watchesPage(lo: number, hi: number): boolean {
    const page = linearAddress(lo, hi) >> PAGE_BITS
    return this.#watched.some(({ start, end }) => start >> PAGE_BITS <= page && page <= (end - 1n) >> PAGE_BITS)
  }

  /** Whether an access of any kind touches watched data. */
  matches(lo: number, hi: number, size: number): boolean {
    const first = linearAddress(lo, hi)
    const last = first + BigInt(size)
    return this.#watched.some(({ start, end }) => first < end && start < last)
  }

  /** Notes an access of the current instruction; the first that touches watched data is kept. */
  note(lo: number, hi: number, size: number, write: boolean): void {
    if (this.#access !== null) return
    const first = linearAddress(lo, hi)
    const last = first + BigInt(size)
    for (const { start, end, kind } of this.#watched) {
      if (!counts(kind, write) || first >= end || start >= last) continue
      this.#access = { address: first > start ? first : start, watch: kind }
      return
    }
  }

  /** Returns and clears the kept access, if any. */
  takeAccess(): WatchedAccess | null {
    const access = this.#access
    this.#access = null
    return access
  }

  /** Puts back an access taken by `takeAccess`. */
  keepAccess(access: WatchedAccess | null): void {
    this.#access = access
  }

  /** Removes all breakpoints and watchpoints. */
  clear(): void {
    this.#pages.clear()
    this.#watched = []
    this.#access = null
  }
}

/**
 * Called for a processor's stores to some machine memory: for debuggers that look for the writer of a byte. Frames of that
 * memory have `FRAME_WATCHED` in `codeBits`, so that no TLB holds them for writing; no other store is slower.
 *
 * The instruction of such a store is executed alone; on x86 in a logged pass, and the processor's own stores to descriptors
 * and stacks are reported likewise. Stores to page tables are the host's.
 */
export interface StoreWatch {
  /** Whether `size` bytes at a machine address touch a watched range. */
  matches(ma: number, size: number): boolean
  /**
   * The present instruction or delivery stores to a watched range, if it completes; may be called several times. The
   * processor's count of retired instructions does not have it yet, and `nextAddress` is its address.
   */
  met(): void
}
