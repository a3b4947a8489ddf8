import type { FrameReferences } from '@retrap/mapcache'
import type { FrameCounts } from '@retrap/p2m'

/**
 * References to the machine frames of a guest's RAM. A frame that is not counted, because a toolstack put it into the map
 * itself, is held without a reference.
 */
export class FrameHolds implements FrameReferences {
  readonly #counts: FrameCounts
  /** Holds on frames that nobody counted then, by MFN. */
  readonly #uncounted = new Map<number, number>()

  constructor(counts: FrameCounts) {
    this.#counts = counts
  }

  /** Takes a reference to each of a run of machine frames. @returns true: frames that are not counted are held without */
  tryTake(mfn: number, count: number): boolean {
    if (this.#counts.count(mfn) !== 0 && this.#counts.tryTake(mfn, count)) return true
    for (let frame = mfn; frame < mfn + count; frame++) {
      if (this.#counts.count(frame) !== 0 && this.#counts.tryTake(frame, 1)) continue
      this.#uncounted.set(frame, (this.#uncounted.get(frame) ?? 0) + 1)
    }
    return true
  }

  /** Drops a reference to each of a run of machine frames. */
  drop(mfn: number, count: number): void {
    if (this.#uncounted.size === 0) {
      this.#counts.drop(mfn, count)
      return
    }
    for (let frame = mfn; frame < mfn + count; frame++) {
      const held = this.#uncounted.get(frame)
      if (held === undefined) this.#counts.drop(frame, 1)
      else if (held === 1) this.#uncounted.delete(frame)
      else this.#uncounted.set(frame, held - 1)
    }
  }
}
