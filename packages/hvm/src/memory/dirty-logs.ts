import { PAGE_BYTES } from '@retrap/memory'
import type { VirtualCpu } from '../virtual-cpu.ts'
import { LogDirty, P2M_WRITE, P2mEntry, P2mError, rightsOfAccess, type P2m } from '@retrap/p2m'

/**
 * Logs of the RAM that is written, for migration and for screens. Every writer of guest RAM gets its machine address here,
 * which marks logged frames. vCPUs may then write a dirty frame freely until the log is next read: reading drops all write
 * translations of dirty frames in one pass.
 */
export class DirtyLogs {
  readonly #p2m: P2m
  readonly #entry = new P2mEntry()
  /** Machine frames whose next writes are to be noticed. */
  #watched = new Uint32Array(0)
  /**
   * Called for guest frames that device models of this thread are about to write, or have begun to hold for writing, and of those
   * that get other contents in another way. vCPUs and `GuestMemory` mark what they write in advance. Several listen by
   * `announceWrites`.
   */
  beforeWrites: ((gfn: number, count: number) => void) | null = null
  /** Called for guest frames that a device model of this thread has written, with its name. */
  wroteBy: ((device: string, gfn: number, count: number) => void) | null = null

  constructor(p2m: P2m) {
    this.#p2m = p2m
  }

  /** Makes vCPUs drop their write translations whenever a log is read. */
  attach(vcpus: readonly Pick<VirtualCpu, 'watchWrites'>[]): void {
    this.#p2m.writeLogs.onWatched((gfn, count, frames) => {
      const found = this.#machineFrames(gfn, count, frames)
      for (const vcpu of vcpus) vcpu.watchWrites(this.#watched, found)
    })
  }

  /** Collects the machine frames of guest frames with set bits. @returns how many */
  #machineFrames(gfn: number, count: number, frames: Uint32Array): number {
    if (this.#watched.length < count) this.#watched = new Uint32Array(count)
    const watched = this.#watched
    const entry = this.#entry
    let found = 0
    // The frames of a leaf lie side by side.
    let leafEnd = 0
    let mfn = -1
    let leaf = 0
    for (let at = 0; at < count; at++) {
      const word = frames[at >>> 5]!
      if (word === 0) at |= 31
      else if (((word >>> (at & 31)) & 1) !== 0) {
        if (at >= leafEnd) {
          this.#p2m.lookup(gfn + at, entry)
          const size = 2 ** entry.order
          leafEnd = at + size - ((gfn + at) % size)
          mfn = entry.mfn
          leaf = at
        }
        if (mfn >= 0) watched[found++] = mfn + at - leaf
      }
    }
    return found
  }

  /**
   * Begins to log a range; see `LogDirty` for `take`, `peek` and its errors.
   *
   * @param bits - one bit per frame; default new memory
   */
  start(gfn: number, count: number, bits?: Uint32Array): LogDirty {
    return new LogDirty(this.#p2m, gfn, count, bits)
  }

  /** Ends a log: its range becomes writable again. */
  stop(log: LogDirty): void {
    log.stop()
  }

  /** Marks RAM that no vCPU wrote. */
  mark(gfn: number, count: number): void {
    this.#p2m.dirtied(gfn, count)
  }

  /**
   * Marks RAM that another thread or process has written, and drops this thread's code translated from it.
   */
  modified(gfn: number, count: number): void {
    const { memory } = this.#p2m
    const entry = this.#entry
    for (let at = gfn; at < gfn + count;) {
      this.#p2m.lookup(at, entry)
      const rest = Math.min(2 ** entry.order - (at % 2 ** entry.order), gfn + count - at)
      if (entry.mfn >= 0) memory.noteWrite(entry.mfn * PAGE_BYTES, rest * PAGE_BYTES)
      at += rest
    }
    this.mark(gfn, count)
  }

  /**
   * As `P2m.translateWrite`, also for RAM whose writes are logged: marks nothing, as nothing is written yet. A frame that clones
   * share is copied.
   *
   * @returns −1 also if no memory is left for the copy
   */
  writable(gpa: number): number {
    const ma = this.#p2m.translateWrite(gpa)
    if (ma >= 0) return ma
    const entry = this.#entry
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const type = this.#p2m.lookup(gfn, entry)
    if (type === this.#p2m.types.shared) return this.#copied(gfn, gpa)
    const isLogged = type === this.#p2m.types.logged
    return isLogged && (rightsOfAccess(entry.access) & P2M_WRITE) !== 0 ? this.#p2m.translate(gpa) : -1
  }

  #copied(gfn: number, gpa: number): number {
    try {
      this.#p2m.unshare(gfn)
    } catch (error) {
      if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
    }
    return this.#p2m.translateWrite(gpa)
  }

  /** As `P2m.translateWrite`, for a write that is about to be made: logged RAM is marked. */
  translateWrite(gpa: number): number {
    const ma = this.#p2m.translateWrite(gpa)
    return ma >= 0 ? ma : this.#p2m.translateLogged(gpa)
  }
}
