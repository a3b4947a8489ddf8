import { BoundedMap } from '../bounded-map.ts'

/** Each time that compiled code is written, its frame waits twice as long to be compiled again, up to 2 to this power as long. */
const MOST_DOUBLINGS = 10
/** Frames that are remembered: of others, those of longest ago may be compiled at once. */
const MOST_FRAMES = 4096

interface FrameHistory {
  /** How often code of the frame has been written since it was compiled first. */
  readonly deaths: number
  /** How often the frame has been hot while it was to wait. */
  readonly waited: number
}

/** Frames whose code is written again and again: they are interpreted for longer and longer. */
export class BackOff {
  readonly #frames = new BoundedMap<number, FrameHistory>(MOST_FRAMES)

  /** Compiled code of a frame has been written. */
  noteDeath(frame: number): void {
    const { deaths, waited } = this.#frames.get(frame) ?? { deaths: 0, waited: 0 }
    this.#frames.set(frame, { deaths: deaths + 1, waited })
  }

  /** Returns whether compiled code of a frame has been written. */
  knows(frame: number): boolean {
    return this.#frames.get(frame) !== undefined
  }

  /** Returns whether a frame that is hot is to be interpreted for longer. */
  isToWait(frame: number): boolean {
    const known = this.#frames.get(frame)
    if (known === undefined) return false
    const { deaths } = known
    const waited = known.waited + 1
    const isOver = waited >= 2 ** Math.min(deaths - 1, MOST_DOUBLINGS)
    this.#frames.set(frame, { deaths, waited: isOver ? 0 : waited })
    return !isOver
  }

  /** Forgets all frames. */
  clear(): void {
    this.#frames.clear()
  }
}
