import { PAGE_SHIFT, type Neighbour } from '@retrap/memory'

/** No TLB, and more than one, has had write entries of a frame. */
const NOBODY = 0
const SEVERAL = 0xffff

/** A TLB's interface for {@link FrameWriters}. */
export interface FrameWriter {
  /** Drops all write entries of a frame. @param frameMa - machine address of the frame */
  drop(frameMa: number): void
}

/**
 * Knows which of the TLBs in a machine memory may have write entries of a frame.
 *
 * Hundreds of machines may live in one memory, and nearly every frame is written by one of them: to have a frame's writes seen,
 * the TLBs of all others need not be asked.
 */
export class FrameWriters {
  /** The writer of each frame: {@link NOBODY}, the number of a TLB, or {@link SEVERAL}. Empty before the first write entry. */
  #writerOf = new Uint16Array(0)
  readonly #frameCount: number
  /** Writers by number, from 1. */
  readonly #writers: (FrameWriter | undefined)[] = [undefined]
  /** This thread, where others execute code of the memory with TLBs of their own. */
  neighbour: Neighbour | undefined = undefined
  /** Free numbers of removed TLBs. */
  readonly #free: number[] = []

  /** @param frames - number of frames of machine memory */
  constructor(frames: number) {
    this.#frameCount = frames
  }

  /** Adds a TLB that has no entries. @returns its number, for {@link FrameWriters.note} */
  add(writer: FrameWriter): number {
    const number = this.#free.pop() ?? this.#writers.length
    this.#writers[number] = writer
    return Math.min(number, SEVERAL)
  }

  /** Takes a TLB out that is used no more. */
  remove(writer: FrameWriter): void {
    // Frames keep the number, which another TLB gets later: that TLB is searched for them as well, without success.
    const number = this.#writers.indexOf(writer)
    if (number < 0) return
    this.#writers[number] = undefined
    this.#free.push(number)
  }

  /** A TLB is about to get a write entry. @param frame - number of the machine frame */
  note(number: number, frame: number): void {
    if (this.#writerOf.length === 0) this.#writerOf = new Uint16Array(this.#frameCount)
    const before = this.#writerOf[frame]!
    if (before !== number) this.#writerOf[frame] = before === NOBODY ? number : SEVERAL
  }

  /** Announces that a TLB checks whether a frame may have write entries, before it makes one. */
  announce(frame: number): void {
    this.neighbour?.noteWriter(frame)
  }

  /** Drops all write entries of a frame: its writes must be seen from now on. @param frameMa - machine address of the frame */
  drop(frameMa: number): void {
    const frame = frameMa >>> PAGE_SHIFT
    const number = this.#writerOf[frame] ?? NOBODY
    if (number === NOBODY) return
    this.#writerOf[frame] = NOBODY
    if (number !== SEVERAL) this.#writers[number]?.drop(frameMa)
    else for (const writer of this.#writers) writer?.drop(frameMa)
  }
}
