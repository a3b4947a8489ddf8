import { type Domain, FrameSet, type GuestFrames, type GuestPages, LoggedMemory } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { MigrationError } from './errors.ts'

/** Pages in a frame: half a MiB. */
export const PAGES_A_FRAME = 128
/** Sent in place of the contents of a page of zeros. */
const ZEROS = 0x8000_0000

/**
 * Encodes pages: their number, a word for each with its guest frame and a zero flag, then contents of nonzero pages.
 *
 * @param contents - contents of nonzero pages, 4 KiB each
 */
export function encodePages(gfns: readonly number[], zeros: readonly boolean[], contents: Uint8Array): Uint8Array[] {
  const head = new DataView(new ArrayBuffer(4 + 4 * gfns.length))
  head.setUint32(0, gfns.length, true)
  gfns.forEach((gfn, i) => head.setUint32(4 + 4 * i, zeros[i]! ? (gfn | ZEROS) >>> 0 : gfn, true))
  return [new Uint8Array(head.buffer), contents]
}

/** The memory of a guest that arrives. */
export class ArrivingPages {
  /** Runs of guest frames, with the places of their contents. */
  readonly #runs: readonly { readonly gfn: number; readonly count: number; readonly first: number }[]
  /** All frames side by side; the host has memory for written ones alone. */
  readonly #bytes: Uint8Array
  /** Flags of nonzero frames. */
  readonly #filled: Uint8Array

  /** @throws MigrationError `ERR_PROTOCOL` for frames that no guest has; `ERR_MACHINE` where the host has no room */
  constructor(frames: readonly Pick<GuestFrames, 'gfn' | 'count'>[]) {
    let first = 0
    let end = 0
    this.#runs = frames.map((frame) => {
      const { gfn, count } = frame ?? {}
      if (!Number.isInteger(gfn) || !Number.isInteger(count) || gfn < end || count < 1 || gfn + count > ZEROS)
        throw new MigrationError('ERR_PROTOCOL', `${count} guest frames from ${gfn}: expected them from low to high`)
      const run = { gfn, count, first }
      first += count
      end = gfn + count
      return run
    })
    try {
      this.#bytes = new Uint8Array(first * PAGE_BYTES)
    } catch (cause) {
      throw new MigrationError('ERR_MACHINE', `this host has no room for ${first} frames of memory`, { cause })
    }
    this.#filled = new Uint8Array(first)
  }

  /** Takes the pages of a frame. @throws MigrationError `ERR_PROTOCOL` */
  take(payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
    const count = payload.length < 4 ? 0 : view.getUint32(0, true)
    let at = 4 + 4 * count
    if (count === 0 || at > payload.length) throw malformed()
    for (let i = 0; i < count; i++) {
      const word = view.getUint32(4 + 4 * i, true)
      const frame = this.#indexOf((word & ~ZEROS) >>> 0)
      if ((word & ZEROS) !== 0) this.#filled[frame] = 0
      else {
        if (at + PAGE_BYTES > payload.length) throw malformed()
        this.#put(frame, payload.subarray(at, at + PAGE_BYTES))
        at += PAGE_BYTES
      }
    }
    if (at !== payload.length) throw malformed()
  }

  /** Takes the last pages, and the frames that have become zeros. @throws MigrationError `ERR_PROTOCOL` */
  finish({ gfns, bytes }: GuestPages, zeros: Uint32Array): GuestPages {
    for (const gfn of zeros) this.#filled[this.#indexOf(gfn)] = 0
    for (const [i, gfn] of gfns.entries())
      this.#put(this.#indexOf(gfn), bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES))
    return this.#pages()
  }

  #put(frame: number, contents: Uint8Array): void {
    this.#bytes.set(contents, frame * PAGE_BYTES)
    this.#filled[frame] = 1
  }

  #indexOf(gfn: number): number {
    const run = this.#runs.find(({ gfn: first, count }) => gfn >= first && gfn < first + count)
    if (run === undefined) throw new MigrationError('ERR_PROTOCOL', `guest frame ${gfn}: it is not the guest's`)
    return run.first + gfn - run.gfn
  }

  /** All pages that are not zeros, put together in place: no more is taken. */
  #pages(): GuestPages {
    const gfns = new Uint32Array(this.#filled.reduce((sum, filled) => sum + filled, 0))
    const bytes = this.#bytes
    let found = 0
    for (const { gfn, count, first } of this.#runs) {
      for (let i = 0; i < count; i++) {
        if (this.#filled[first + i] === 0) continue
        if (found !== first + i)
          bytes.copyWithin(found * PAGE_BYTES, (first + i) * PAGE_BYTES, (first + i + 1) * PAGE_BYTES)
        gfns[found++] = gfn + i
      }
    }
    return { gfns, bytes: bytes.subarray(0, found * PAGE_BYTES) }
  }
}

const malformed = (): MigrationError =>
  new MigrationError('ERR_PROTOCOL', 'a frame with pages is not as long as it says')

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
