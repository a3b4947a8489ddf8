import { LogDirty, P2mEntry, P2mType, type P2m } from '@retrap/p2m'

const FRAME = 0x1000

/**
 * Logs of the RAM that is written, for migration and for screens. Every writer of guest RAM asks here where it is; what is logged is marked then, and may be written until the log is taken the next time.
 */
export class DirtyLogs {
  readonly #p2m: P2m
  readonly #entry = new P2mEntry()

  constructor(p2m: P2m) {
    this.#p2m = p2m
  }

  /**
   * Begins to log a range; see `LogDirty` for `take`, `peek` and its errors.
   *
   * @param bits - one a frame; default memory of its own
   */
  start(gfn: number, count: number, bits?: Uint32Array): LogDirty {
    return new LogDirty(this.#p2m, gfn, count, bits)
  }

  /** Ends a log: its range may be written again. */
  stop(log: LogDirty): void {
    log.stop()
  }

  /** Marks RAM that no vCPU wrote. */
  mark(gfn: number, count: number): void {
    this.#p2m.dirtied(gfn, count)
  }

  /**
   * Marks RAM that another thread or process wrote, and drops the code that this thread's vCPUs have translated of it.
   */
  modified(gfn: number, count: number): void {
    const { memory } = this.#p2m
    const entry = this.#entry
    for (let at = gfn; at < gfn + count;) {
      this.#p2m.lookup(at, entry)
      const rest = Math.min(2 ** entry.order - (at % 2 ** entry.order), gfn + count - at)
      if (entry.mfn >= 0) memory.noteWrite(entry.mfn * FRAME, rest * FRAME)
      at += rest
    }
    this.mark(gfn, count)
  }

  /** As `P2m.translateWrite`, for a write that is about to be made: logged RAM is marked and may be written. */
  translateWrite(gpa: number): number {
    const p2m = this.#p2m
    const ma = p2m.translateWrite(gpa)
    if (ma >= 0) return ma
    const gfn = Math.floor(gpa / FRAME)
    if (p2m.lookup(gfn, this.#entry) !== P2mType.RAM_LOGDIRTY) return -1
    p2m.dirtied(gfn)
    return p2m.translateWrite(gpa)
  }
}
