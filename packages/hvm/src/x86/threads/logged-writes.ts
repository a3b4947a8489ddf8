import { type Neighbours, PAGE_BYTES } from '@retrap/memory'
import type { P2m } from '@retrap/p2m'

/** Host time after which a look tells whether all threads have dropped their translations, in milliseconds. */
const LOOK_MS = 2

/**
 * Logs of written RAM, where vCPUs write in threads of their own. A thread drops its translations a moment after it was asked to, and
 * what it writes in between is in no log: so the frames count as written once more when all threads have dropped theirs.
 */
export class LoggedWrites {
  readonly #p2m: P2m
  readonly #neighbours: Neighbours
  /** Guest frames that threads may write freely, by machine frames. */
  readonly #written = new Map<number, number>()
  /** Guest frames of which threads may still have translations. */
  dropped: number[] = []
  #epoch = 0
  /** Has {@link LoggedWrites.settle} called. */
  readonly #wake: () => void

  constructor(p2m: P2m, neighbours: Neighbours, wake: () => void) {
    this.#p2m = p2m
    this.#neighbours = neighbours
    this.#wake = wake
  }

  /** A thread gets a translation of logged RAM for writing. */
  note(gpa: number, ma: number): void {
    if (ma >= 0) this.#written.set(Math.floor(ma / PAGE_BYTES), Math.floor(gpa / PAGE_BYTES))
  }

  /** The next writes to some machine frames are to be noticed. */
  watch(frames: Uint32Array, count: number): void {
    const written = this.#written
    if (written.size === 0) return
    const before = this.dropped.length
    for (let i = 0; i < count; i++) {
      const gfn = written.get(frames[i]!)
      if (gfn === undefined) continue
      written.delete(frames[i]!)
      this.dropped.push(gfn)
    }
    if (this.dropped.length === before) return
    this.#epoch = this.#neighbours.dropAll()
    this.settle()
  }

  /** Marks the dropped frames, once all threads have dropped their translations. */
  settle(): void {
    if (!this.#neighbours.haveDropped(this.#epoch)) {
      setTimeout(this.#wake, LOOK_MS)
      return
    }
    const dropped = this.dropped
    this.dropped = []
    for (const gfn of dropped) this.#p2m.writeLogs.mark(gfn, 1)
  }
}
