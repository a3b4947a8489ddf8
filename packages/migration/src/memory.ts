import { type Domain, FrameSet, type GuestFrames, LoggedMemory } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { MigrationError } from './errors.ts'

/** A set of some of a guest's frames. */
export function setOf(frames: readonly GuestFrames[], some: Iterable<number>): FrameSet {
  const known = frames.map((run) => ({ ...run, bits: new Uint32Array(Math.ceil(run.count / 32)) }))
  for (const gfn of some)
    for (const { gfn: first, count, bits } of known)
      if (gfn >= first && gfn < first + count) bits[(gfn - first) >>> 5]! |= 1 << ((gfn - first) & 31)
  return new FrameSet(known)
}

/** A guest's memory during migration: its frames, and which were written since they were last sent. */
export class SentMemory {
  /** Frames of RAM and ROM, from low to high. */
  readonly frames: readonly GuestFrames[]
  readonly #domain: Domain
  /** The log of written frames: the caller reads and closes it. */
  readonly written: LoggedMemory

  /**
   * Begins to log.
   *
   * @throws HvmError for memory that cannot be saved
   */
  constructor(domain: Domain) {
    this.#domain = domain
    this.written = new LoggedMemory(domain)
    this.frames = this.written.frames
  }

  /**
   * Checks that the guest still has the same frames: the log does not cover others.
   *
   * @throws MigrationError `ERR_MACHINE`
   */
  checkFrames(): void {
    if (!this.written.haveMoved) return
    const what = 'its firmware has changed which memory it has; try again'
    throw new MigrationError('ERR_MACHINE', `this machine cannot be moved now: ${what}`)
  }

  /** Returns all frames. */
  all(): number[] {
    return this.frames.flatMap(({ gfn, count }) => Array.from({ length: count }, (_, i) => gfn + i))
  }

  /** Returns frames of ROM, which no log covers although firmware shadows itself into them. */
  rom(): number[] {
    return this.frames
      .filter(({ kind }) => kind === 'rom')
      .flatMap(({ gfn, count }) => Array.from({ length: count }, (_, i) => gfn + i))
  }

  /** Copies a frame. @returns whether it is zeros */
  read(gfn: number, into: Uint8Array): boolean {
    if (!this.#domain.guestMemory.read(gfn * PAGE_BYTES, into)) into.fill(0)
    const words = new Uint32Array(into.buffer, into.byteOffset, PAGE_BYTES / 4)
    for (const word of words) if (word !== 0) return false
    return true
  }
}
