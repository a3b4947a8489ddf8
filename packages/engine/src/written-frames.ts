import { BoundedMap } from './bounded-map.ts'

/** Writes beside a frame's code after which the frame loses its code at first; twice as many each time that it has. */
const FEWEST_SPARED = 256
const MOST_SPARED = 1 << 16
/** Writes of code, with none decoded in between, after which a frame loses all of its code: something is loaded into it. */
const MOST_KILLING = 16
/** Frames that are remembered. */
const MOST_FRAMES = 4096

interface Writes {
  /** Writes that have left the code alone. */
  spared: number
  /** Writes that have ended records, since an instruction was decoded. */
  killing: number
  /** The limit of `spared`. */
  most: number
}

/**
 * Writes to frames with code, each of which takes the slow path. A frame that has become data, or is written more than it is
 * executed, loses its code after all.
 */
export class WrittenFrames {
  readonly #frames = new BoundedMap<number, Writes>(MOST_FRAMES)

  /** Notes a write. @param isKilling - it has ended records @returns whether the frame is to lose its code */
  note(frame: number, isKilling: boolean): boolean {
    let writes = this.#frames.get(frame)
    if (writes === undefined) {
      writes = { spared: 0, killing: 0, most: FEWEST_SPARED }
      this.#frames.set(frame, writes)
    }
    if (isKilling) writes.killing++
    else writes.spared++
    if (writes.killing <= MOST_KILLING && writes.spared <= writes.most) return false
    if (writes.spared > writes.most) writes.most = Math.min(2 * writes.most, MOST_SPARED)
    writes.spared = 0
    writes.killing = 0
    return true
  }

  /** Notes that an instruction of a frame was decoded. */
  noteDecoding(frame: number): void {
    const writes = this.#frames.get(frame)
    if (writes !== undefined) writes.killing = 0
  }

  /** Forgets all frames. */
  clear(): void {
    this.#frames.clear()
  }
}
