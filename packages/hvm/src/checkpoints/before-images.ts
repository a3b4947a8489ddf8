import { PAGE_BYTES } from '@retrap/memory'
import { P2mEntry } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { HvmError } from '../errors.ts'
import { announcedRanges, announceWrites, type FrameRun, type GuestRange, runsOf } from './announced-writes.ts'
import { checkGuestFrames, FIRST_LOGGED_GFN, type GuestFrames, guestFrames } from './guest-frames.ts'
import { isSame, isZero, WORDS } from '../memory/frame-contents.ts'

/** RAM whose writes are announced, with a bit for each frame that was written. */
interface WatchedRange extends GuestRange {
  readonly written: Uint32Array
}

/** The contents of one guest frame at the instant; null: zeros. */
type BeforeImage = Uint8Array | null

/**
 * Where the conventional memory of a PC ends. From here to 1 MiB are the copies of option ROMs, which firmware and TPR patcher
 * write by machine address.
 */
const CONVENTIONAL_END_GFN = 0xa0

const NO_FRAMES = new Uint32Array(0)

/**
 * A guest's RAM and ROM as they are at one instant, for the same guest to be put back to it as often as wanted.
 *
 * Nothing is copied at the instant but ROM, and RAM of its copies (640 KiB to 1 MiB). A frame is copied before the first write to it
 * (`announceWrites`) and its copy is kept; {@link BeforeImages.putBack} writes back the frames that were written since the last
 * time, and no others.
 */
export class BeforeImages {
  readonly #domain: Domain
  /** The frames that the guest must have for a restore. */
  readonly #frames: readonly GuestFrames[]
  /** Where the frames were at the instant. A frame that has moved since was copied before. */
  readonly #runs: readonly FrameRun[]
  readonly #ranges: readonly WatchedRange[]
  /** Guest frames whose bit is set in `#ranges`. */
  readonly #written: number[] = []
  /** Copied contents by guest frame. */
  readonly #former = new Map<number, BeforeImage>()
  /** Frames whose writes are not announced: ROM, and RAM from 640 KiB to 1 MiB. */
  readonly #unannounced: readonly { readonly gfn: number; readonly former: BeforeImage }[]
  readonly #entry = new P2mEntry()
  readonly #end: () => void
  /** Written frames may have become RAM whose writes are not logged. */
  #changed = false
  /** The map when the guest had `#frames`. */
  #version: number
  /** The host had no memory when a frame was about to be written. The write proceeds. */
  #failure: RangeError | null = null

  /**
   * Takes the present instant, between two instructions of all vCPUs, while device models rest.
   *
   * @throws HvmError `ERR_STATE` if the map lacks memory for it
   */
  constructor(domain: Domain) {
    this.#domain = domain
    this.#frames = guestFrames(domain)
    this.#runs = runsOf(domain)
    this.#ranges = announcedRanges(this.#runs, CONVENTIONAL_END_GFN).map(({ gfn, count }) => {
      return { gfn, count, written: new Uint32Array(Math.ceil(count / 32)) }
    })
    const end = announceWrites(
      domain,
      this.#ranges,
      (gfn, count) => this.#before(gfn, count),
      (gfn, count) => this.#moved(gfn, count),
    )
    if (end === null) throw new HvmError('ERR_STATE', 'the guest’s map has no memory for a log of writes')
    this.#end = end
    try {
      this.#unannounced = this.#copyUnannounced()
    } catch (error) {
      end()
      throw error
    }
    this.#version = domain.p2m.version
    this.#noteHeld()
  }

  /** Number of guest frames that `putBack` restores, besides ROM and its copies. */
  get writtenFrames(): number {
    return this.#written.length
  }

  /**
   * Gives the frames their contents back that may have others, between two instructions of all vCPUs, while device models
   * rest.
   *
   * @throws HvmError `ERR_STATE` where the guest has other frames than it had, or the host had no memory for a copy; `ERR_STATE`
   *   where there is no machine memory for a frame that clones share
   */
  putBack(): void {
    const { p2m } = this.#domain
    if (this.#failure !== null)
      throw new HvmError('ERR_STATE', `the host had no memory to keep what a frame was: ${this.#failure.message}`)
    const isSameMap = p2m.version === this.#version
    if (!isSameMap) checkGuestFrames(this.#domain, this.#frames, NO_FRAMES)
    // These writes are announced, but the frames are in the list already.
    for (const gfn of this.#written) this.#putFrame(gfn, this.#former.get(gfn)!)
    for (const { gfn, former } of this.#unannounced) this.#putUnannounced(gfn, former, isSameMap)
    if (this.#changed) this.#logAnew()
    for (const { gfn, count, written } of this.#ranges) p2m.writeLogs.watch(gfn, count, written)
    for (const range of this.#ranges) range.written.fill(0)
    this.#written.length = 0
    this.#version = p2m.version
    this.#noteHeld()
  }

  /** Ends the log: writes to RAM are no longer intercepted. */
  close(): void {
    this.#end()
    this.#former.clear()
    this.#written.length = 0
  }

  #copyUnannounced(): { readonly gfn: number; readonly former: BeforeImage }[] {
    const found: { readonly gfn: number; readonly former: BeforeImage }[] = []
    for (const { gfn, count, mfn, kind } of this.#runs) {
      for (let i = 0; i < count; i++) {
        const isCopy = gfn + i >= CONVENTIONAL_END_GFN && gfn + i < FIRST_LOGGED_GFN
        if (kind === 'rom' || isCopy) found.push({ gfn: gfn + i, former: this.#contentsOf(mfn + i) })
      }
    }
    return found
  }

  #contentsOf(mfn: number): BeforeImage {
    const { u8, u32 } = this.#domain.memory
    return isZero(u32, mfn * WORDS) ? null : u8.slice(mfn * PAGE_BYTES, (mfn + 1) * PAGE_BYTES)
  }

  /** Device models that hold frames for writing write without a word. */
  #noteHeld(): void {
    this.#domain.mappings.heldForWriting((gfn, count) => this.#before(gfn, count))
  }

  /** Frames are about to be written. */
  #before(gfn: number, count: number): void {
    for (const range of this.#ranges) {
      const from = Math.max(gfn, range.gfn)
      const end = Math.min(gfn + count, range.gfn + range.count)
      for (let at = from; at < end; at++) this.#note(range, at)
    }
  }

  /** Frames were replaced, or their next writes are no longer announced. */
  #moved(gfn: number, count: number): void {
    const { p2m } = this.#domain
    const entry = this.#entry
    for (const range of this.#ranges) {
      const end = Math.min(gfn + count, range.gfn + range.count)
      for (let at = Math.max(gfn, range.gfn); at < end;) {
        const type = p2m.lookup(at, entry)
        const size = Math.min(2 ** entry.order - (at % 2 ** entry.order), end - at)
        const isAnnounced = type === p2m.types.logged || type === p2m.types.shared
        for (let i = 0; i < size; i++) {
          // A shared frame changes its type or is replaced by a copy before its first write.
          if (isAnnounced && entry.mfn + i === this.#formerFrame(at + i)) continue
          this.#changed = true
          this.#note(range, at + i)
        }
        at += size
      }
    }
  }

  /** Copies a frame on its first write, and lists it as written. */
  #note({ gfn: first, written }: WatchedRange, gfn: number): void {
    const bit = gfn - first
    const word = written[bit >>> 5]!
    if (((word >>> (bit & 31)) & 1) !== 0 || this.#failure !== null) return
    try {
      if (!this.#former.has(gfn)) this.#former.set(gfn, this.#contentsOf(this.#formerFrame(gfn)))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#failure = error
      this.#former.clear()
      return
    }
    written[bit >>> 5] = word | (1 << (bit & 31))
    this.#written.push(gfn)
  }

  /** The machine frame that a guest frame had at the instant. */
  #formerFrame(gfn: number): number {
    const runs = this.#runs
    let [low, high] = [0, runs.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (runs[middle]!.gfn <= gfn) low = middle
      else high = middle - 1
    }
    const run = runs[low]!
    return run.mfn + gfn - run.gfn
  }

  #putFrame(gfn: number, former: BeforeImage): void {
    const { memory, p2m, secondLevel } = this.#domain
    p2m.lookup(gfn, this.#entry)
    const word = this.#entry.mfn * WORDS
    // Code that was translated of a frame lives until the frame is written.
    if (former === null ? isZero(memory.u32, word) : isSame(memory.u32, word, former)) return
    const ma = secondLevel.translateWrite(gfn * PAGE_BYTES)
    if (ma < 0) throw new HvmError('ERR_STATE', `guest frame 0x${gfn.toString(16)} cannot be written`)
    if (former === null) memory.fill(ma, PAGE_BYTES, 0)
    else memory.write(ma, former)
  }

  /** @param isSameMap - the map has not changed since the frames were as they are to be */
  #putUnannounced(gfn: number, former: BeforeImage, isSameMap: boolean): void {
    const { memory, p2m, dirtyLogs } = this.#domain
    const isShared = p2m.lookup(gfn, this.#entry) === p2m.types.shared
    // A write would have changed the map: a shared frame is copied first.
    if (isShared && isSameMap) return
    const word = this.#entry.mfn * WORDS
    if (former === null ? isZero(memory.u32, word) : isSame(memory.u32, word, former)) return
    // The frame is shared with clones.
    if (isShared) p2m.unshare(gfn)
    p2m.lookup(gfn, this.#entry)
    const { mfn } = this.#entry
    if (former === null) memory.fill(mfn * PAGE_BYTES, PAGE_BYTES, 0)
    else memory.write(mfn * PAGE_BYTES, former)
    dirtyLogs.mark(gfn, 1)
  }

  #logAnew(): void {
    const { p2m } = this.#domain
    const { ram, logged } = p2m.types
    for (const gfn of this.#written) p2m.setType(gfn, 1, logged, ram)
    this.#changed = false
  }
}
