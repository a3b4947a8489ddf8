import { check } from './checks.ts'

/**
 * Called when the next writes to some guest frames are to be noticed.
 *
 * @param frames - which of `count` frames from `gfn` on: bit `i % 32` of word `i / 32` is frame `gfn + i`
 */
export type WatchListener = (gfn: number, count: number, frames: Uint32Array) => void

/** A log of writes to a range of guest frames. */
interface WriteLog {
  readonly gfn: number
  /** End of the range, exclusive. */
  readonly end: number
  readonly mark: (gfn: number, count: number) => void
}

/**
 * The logs of writes to a map's RAM. The frames that a log covers are of type RAM_LOGDIRTY, and stay so when they are
 * written; `LogDirty` is such a log.
 */
export class WriteLogs {
  #logs: readonly WriteLog[] = []
  #listeners: readonly WatchListener[] = []

  /**
   * Begins a log.
   *
   * @param mark - called with frames in the range that are written, or are about to be
   * @returns a function that ends the log
   */
  add(gfn: number, count: number, mark: (gfn: number, count: number) => void): () => void {
    const log: WriteLog = { gfn, end: gfn + count, mark }
    this.#logs = [...this.#logs, log]
    return () => {
      this.#logs = this.#logs.filter((each) => each !== log)
    }
  }

  /** Whether a log covers writes to a frame. */
  covers(frame: number): boolean {
    for (const { gfn, end } of this.#logs) if (frame >= gfn && frame < end) return true
    return false
  }

  /** Whether a log covers writes to a part of a range. */
  overlaps(first: number, count: number): boolean {
    for (const { gfn, end } of this.#logs) if (first < end && first + count > gfn) return true
    return false
  }

  /**
   * Notifies logs of written frames.
   *
   * @returns whether any log covers them
   */
  mark(first: number, count: number): boolean {
    let any = false
    for (const { gfn, end, mark } of this.#logs) {
      const from = Math.max(first, gfn)
      const to = Math.min(first + count, end)
      if (from >= to) continue
      mark(from, to - from)
      any = true
    }
    return any
  }

  /**
   * Registers a listener for frames whose next writes are to be noticed, although they have been written before: TLBs
   * of the domain's vCPUs drop their translations for writing. No leaf changes.
   *
   * @returns a function that removes the listener
   */
  onWatched(listener: WatchListener): () => void {
    check.function('listener', listener)
    this.#listeners = [...this.#listeners, listener]
    return () => {
      this.#listeners = this.#listeners.filter((each) => each !== listener)
    }
  }

  /** Tells the listeners; see {@link WatchListener}. */
  watch(gfn: number, count: number, frames: Uint32Array): void {
    for (const listener of this.#listeners) listener(gfn, count, frames)
  }
}
