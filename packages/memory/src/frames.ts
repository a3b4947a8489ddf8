import { describeArgument } from '@retrap/basics'
import { hex, MemoryError } from './errors.ts'
import * as L from './layout.ts'

/** Larger regions get frames of their own; smaller ones share an arena of this size. */
const ARENA_BYTES = 0x1_0000

/**
 * Hands out machine frames: 4 KiB frames from the bottom, 2 MiB and 1 GiB runs from the top, so that small tables do
 * not break up large runs, which guest RAM wants.
 *
 * A bitmap and a few header words in machine memory hold the state, under a lock in the same memory, so that every
 * thread with a view of the memory may use it. A free frame is always zero: frames are scrubbed when freed, because
 * their next owner may be another guest.
 */
export class FrameAllocator {
  readonly #u8: Uint8Array
  readonly #u32: Uint32Array
  readonly #i32: Int32Array
  readonly #bitmap: number
  readonly #frames: number
  readonly #noteWrite: (ma: number, length: number) => void

  /** Called by {@link MachineMemory}; others use its `frames`. */
  constructor(u8: Uint8Array, u32: Uint32Array, i32: Int32Array, noteWrite: (ma: number, length: number) => void) {
    this.#u8 = u8
    this.#u32 = u32
    this.#i32 = i32
    this.#noteWrite = noteWrite
    this.#bitmap = u32[L.HEADER_WORD + L.H_BITMAP_MA]! >>> 2
    this.#frames = u32[L.HEADER_WORD + L.H_FRAMES]!
  }

  /** Number of free 4 KiB frames. */
  get freeFrames(): number {
    return Atomics.load(this.#u32, L.HEADER_WORD + L.H_FREE)
  }

  /** Number of 4 KiB frames that were free when the machine was made. */
  get totalFrames(): number {
    return this.#u32[L.HEADER_WORD + L.H_TOTAL_FREE]!
  }

  /**
   * Takes one naturally aligned run of `2 ** order` frames.
   *
   * @param order - 0, 9 or 18
   * @returns the MFN of its first frame; the run is all zero bytes
   * @throws MemoryError `ERR_NO_MEMORY`, `ERR_ORDER`
   */
  allocate(order: number = L.ORDER_4K): number {
    const mfn = this.tryAllocate(order)
    if (mfn < 0) throw this.#exhausted(L.PAGE_BYTES * 2 ** order, `a run of order ${order}`)
    return mfn
  }

  /** Like {@link FrameAllocator.allocate}, but returns −1 if no such run is free. */
  tryAllocate(order: number): number {
    checkOrder(order)
    const count = 2 ** order
    this.#lock()
    try {
      const mfn = order === L.ORDER_4K ? this.#lowestFree() : this.#highestRun(count)
      if (mfn >= 0) this.#take(mfn, count)
      return mfn
    } finally {
      this.#unlock()
    }
  }

  /**
   * Frees and scrubs an allocation of {@link FrameAllocator.allocate}, or an aligned part of it.
   *
   * @throws MemoryError `ERR_NOT_ALLOCATED`, `ERR_ALIGN`, `ERR_ORDER`, `ERR_RANGE`; then nothing has changed
   */
  free(mfn: number, order: number = L.ORDER_4K): void {
    checkOrder(order)
    const count = 2 ** order
    if (!(Number.isSafeInteger(mfn) && mfn > 0 && mfn + count <= this.#frames)) {
      throw new MemoryError('ERR_RANGE', `frame ${hex(mfn)} is outside machine memory`, { mfn, order })
    }
    if (mfn % count !== 0) {
      throw new MemoryError('ERR_ALIGN', `frame ${hex(mfn)} is not aligned to order ${order}`, { mfn, order })
    }
    for (let frame = mfn; frame < mfn + count; frame++) {
      if (!this.isAllocated(frame)) {
        throw new MemoryError('ERR_NOT_ALLOCATED', `frame ${hex(frame)} is free already`, { mfn: frame, order })
      }
    }
    // The frames still belong to the caller, so no lock is needed: code-write listeners may themselves allocate.
    const start = mfn * L.PAGE_BYTES
    this.#u8.fill(0, start, start + count * L.PAGE_BYTES)
    this.#noteWrite(start, count * L.PAGE_BYTES)
    this.#lock()
    for (let frame = mfn; frame < mfn + count; frame++) {
      this.#u32[this.#bitmap + (frame >>> 5)]! &= ~(1 << (frame & 31))
    }
    this.#u32[L.HEADER_WORD + L.H_FREE]! += count
    if (mfn < this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE]!) this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE] = mfn
    this.#unlock()
  }

  /** Whether a frame is in use (frames of the header and of hypervisor regions always are). */
  isAllocated(mfn: number): boolean {
    if (!(Number.isSafeInteger(mfn) && mfn >= 0 && mfn < this.#frames)) return false
    return ((this.#u32[this.#bitmap + (mfn >>> 5)]! >>> (mfn & 31)) & 1) !== 0
  }

  /** Cuts a region for {@link MachineMemory.allocate}, which has checked the arguments. */
  region(bytes: number, align: number, purpose: string): number {
    this.#lock()
    try {
      const ma =
        bytes >= ARENA_BYTES || align >= ARENA_BYTES ? this.#wholeFrames(bytes, align) : this.#fromArena(bytes, align)
      if (ma >= 0) return ma
    } finally {
      this.#unlock()
    }
    throw this.#exhausted(bytes, purpose)
  }

  /** Cuts a region for {@link MachineMemory.allocateFixed}, which has checked the arguments. */
  fixedRegion(bytes: number, align: number, purpose: string): number {
    this.#lock()
    try {
      const start = Math.ceil(this.#u32[L.HEADER_WORD + L.H_FIXED_USED]! / align) * align
      if (start + bytes <= L.fixedBytes(this.#u32[L.HEADER_WORD + L.H_FRAMES]!) && align <= L.PAGE_BYTES) {
        this.#u32[L.HEADER_WORD + L.H_FIXED_USED] = start + bytes
        return L.FIXED_MA + start
      }
    } finally {
      this.#unlock()
    }
    return this.region(bytes, align, purpose)
  }

  #wholeFrames(bytes: number, align: number): number {
    const count = Math.ceil(bytes / L.PAGE_BYTES)
    const mfn = this.#lowestRun(count, Math.max(1, align / L.PAGE_BYTES))
    if (mfn < 0) return -1
    this.#take(mfn, count)
    return mfn * L.PAGE_BYTES
  }

  #fromArena(bytes: number, align: number): number {
    const u32 = this.#u32
    let start = Math.ceil(u32[L.HEADER_WORD + L.H_ARENA_NEXT]! / align) * align
    if (start === 0 || start + bytes > u32[L.HEADER_WORD + L.H_ARENA_END]!) {
      // The rest of the old arena is abandoned: it is small, because regions live as long as the machine.
      const arena = this.#wholeFrames(ARENA_BYTES, L.PAGE_BYTES)
      if (arena < 0) return this.#wholeFrames(bytes, align)
      start = Math.ceil(arena / align) * align
      u32[L.HEADER_WORD + L.H_ARENA_END] = arena + ARENA_BYTES
      if (start + bytes > arena + ARENA_BYTES) {
        u32[L.HEADER_WORD + L.H_ARENA_NEXT] = arena
        return this.#wholeFrames(bytes, align)
      }
    }
    u32[L.HEADER_WORD + L.H_ARENA_NEXT] = start + bytes
    return start
  }

  #lowestFree(): number {
    const words = this.#frames >>> 5
    for (let word = this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE]! >>> 5; word < words; word++) {
      const used = this.#u32[this.#bitmap + word]!
      if (used === 0xffff_ffff) continue
      // All below are in use.
      return (this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE] = word * 32 + (31 - Math.clz32(~used & -~used)))
    }
    return -1
  }

  #lowestRun(count: number, align: number): number {
    let start = Math.ceil(this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE]! / align) * align
    while (start + count <= this.#frames) {
      const used = this.#lastUsed(start, count)
      if (used < start) return start
      start = Math.ceil((used + 1) / align) * align
    }
    return -1
  }

  /** `count` and its alignment are multiples of 32 here: whole bitmap words. */
  #highestRun(count: number): number {
    const words = count >>> 5
    for (let start = Math.floor(this.#frames / count - 1) * count; start >= 0; start -= count) {
      const first = this.#bitmap + (start >>> 5)
      let word = 0
      while (word < words && this.#u32[first + word] === 0) word++
      if (word === words) return start
    }
    return -1
  }

  /** The last frame in use within a run, or the one before the run. */
  #lastUsed(start: number, count: number): number {
    let frame = start + count - 1
    while (frame >= start && !this.isAllocated(frame)) frame--
    return frame
  }

  #take(mfn: number, count: number): void {
    for (let frame = mfn; frame < mfn + count; frame++) {
      this.#u32[this.#bitmap + (frame >>> 5)]! |= 1 << (frame & 31)
    }
    this.#u32[L.HEADER_WORD + L.H_FREE]! -= count
    if (mfn === this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE]) this.#u32[L.HEADER_WORD + L.H_LOWEST_FREE] = mfn + count
  }

  #exhausted(bytes: number, purpose: string): MemoryError {
    const freeBytes = this.freeFrames * L.PAGE_BYTES
    return new MemoryError(
      'ERR_NO_MEMORY',
      `no room in machine memory for ${purpose}: ${bytes} bytes asked for, ${freeBytes} free of ` +
        `${this.totalFrames * L.PAGE_BYTES}${freeBytes >= bytes ? ' (but not in one aligned piece)' : ''}`,
      { requestedBytes: bytes, freeBytes },
    )
  }

  /** The sections below are short and never block, so that spinning is enough. */
  #lock(): void {
    while (Atomics.compareExchange(this.#i32, L.HEADER_WORD + L.H_LOCK, 0, 1) !== 0);
  }

  #unlock(): void {
    Atomics.store(this.#i32, L.HEADER_WORD + L.H_LOCK, 0)
  }
}

function checkOrder(order: number): void {
  if (order !== L.ORDER_4K && order !== L.ORDER_2M && order !== L.ORDER_1G) {
    throw new MemoryError(
      'ERR_ORDER',
      `order ${describeArgument(order)}: expected 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB)`,
      { order },
    )
  }
}
