import { PAGE_SHIFT } from '@retrap/memory'
import { PARKED_WORDS, type ParkedEntries } from './parked-entries.ts'
import type { FrameWriters } from './frame-writers.ts'
import type { TlbJournal } from './tlb-journal.ts'

/** State of a frame: it may have write entries, slow ones at most, or its writes are about to be logged. */
const MAY_HAVE = 1
const SLOW_AT_MOST = 2
const TO_LOG = 3
/** Special values of the remembered entry: no entry, or more than one. */
const NONE = 0
const SEVERAL = -1

const NO_FRAMES = new Uint8Array(0)
/** Zeros that were given back: forks of a machine that run one after another share them. */
let spare = NO_FRAMES

function takeFrames(count: number): Uint8Array<ArrayBuffer> {
  const frames = spare.length === count ? spare : new Uint8Array(count)
  spare = NO_FRAMES
  return frames
}

/** The entries of a TLB, as far as their frames matter. */
export interface TlbEntries {
  /** Machine memory, in which an entry is four words. */
  readonly u32: Uint32Array
  /** Journals of all possibly valid entries, by machine address. */
  readonly journals: readonly TlbJournal[]
  /** Entries of other address spaces. */
  readonly parked: Pick<ParkedEntries, 'spaces'>
  /** Whether an entry is for writes. */
  isWrite(entry: number): boolean
  /** Makes an entry slow. @param words - with its words, at `at` */
  makeSlow(words: Uint32Array, at: number): void
  /** As {@link TlbEntries.makeSlow}, and the host is asked before the next write. */
  makeLogged(words: Uint32Array, at: number): void
  /** The record of frames with write entries, for other threads; absent: only this TLB needs them. */
  readonly writers?: FrameWriters | undefined
}

/** Knows which machine frames a TLB may have write entries of, and makes these slow: writes to a frame must be seen. */
export class WritableEntries {
  /** The state of each frame: 0, or what it may have, parked entries included; or {@link TO_LOG}. Empty before the first entry. */
  #frames = NO_FRAMES
  readonly #frameCount: number
  readonly #entries: TlbEntries
  /** The frame that {@link WritableEntries.drop} was called for last. */
  #droppedFrame = -1
  /**
   * The single write entry made for that frame since, or {@link NONE} or {@link SEVERAL}; no other entry that is not slow, parked or
   * not, permits writes. An idle guest in MWAIT gets the same page dropped each time.
   */
  #only = NONE
  /** The number of this TLB for {@link TlbEntries.writers}. */
  readonly #number: number

  /** @param frames - number of frames of machine memory */
  constructor(frames: number, entries: TlbEntries) {
    this.#frameCount = frames
    this.#entries = entries
    this.#number = entries.writers?.add(this) ?? 0
  }

  /** A write entry may be made, unless the frame has bits in `codeBits`. */
  announce(frame: number): void {
    this.#entries.writers?.announce(frame)
  }

  /** A write entry is made. @param target - machine address of its page @param isDirect - whether generated code may use it */
  note(entry: number, target: number, isDirect: boolean): void {
    const frame = target >>> PAGE_SHIFT
    if (this.#frames.length === 0) this.#frames = takeFrames(this.#frameCount)
    if (!isDirect) {
      this.#frames[frame] ||= SLOW_AT_MOST
      return
    }
    if (this.#frames[frame] !== MAY_HAVE) {
      this.#frames[frame] = MAY_HAVE
      this.#entries.writers?.note(this.#number, frame)
    }
    if (frame === this.#droppedFrame && this.#only !== entry) this.#only = this.#only === NONE ? entry : SEVERAL
  }

  /** Entries go to another address space, or come from it: which is the only one of a frame is not known any more. */
  addressSpaceChanged(): void {
    if (this.#only !== NONE) this.#only = SEVERAL
  }

  /** Unregisters the TLB from the frames' writers. */
  close(): void {
    this.#entries.writers?.remove(this)
  }

  /** Forgets all frames: there are no entries any more, parked ones included. */
  clear(): void {
    this.#frames.fill(0)
  }

  /** As {@link WritableEntries.clear}, and gives the memory for them back. */
  forget(): void {
    this.clear()
    if (this.#frames.length > 0) spare = this.#frames
    this.#frames = NO_FRAMES
  }

  /** Makes all write entries of a frame slow, in all address spaces. @param frameMa - machine address of the frame */
  drop(frameMa: number): void {
    const frame = frameMa >>> PAGE_SHIFT
    if (this.#frames[frame] !== MAY_HAVE) return
    this.#frames[frame] = SLOW_AT_MOST
    const only = frame === this.#droppedFrame ? this.#only : SEVERAL
    this.#droppedFrame = frame
    this.#only = NONE
    const { u32, journals, parked } = this.#entries
    if (only !== SEVERAL) {
      if (only !== NONE && u32[(only >>> 2) + 2] === frameMa) this.#entries.makeSlow(u32, only >>> 2)
      return
    }
    for (const { entries, count } of journals) {
      for (let i = 0; i < count; i++) {
        const entry = entries[i]!
        if (u32[(entry >>> 2) + 2] === frameMa && this.#entries.isWrite(entry)) this.#entries.makeSlow(u32, entry >>> 2)
      }
    }
    for (const { words, length } of parked.spaces) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        if (words[at + 3] === frameMa && this.#entries.isWrite(words[at]!)) this.#entries.makeSlow(words, at + 1)
      }
    }
  }

  /**
   * Makes all write entries of many frames slow, in one pass over all entries: the host is asked before their next writes.
   *
   * @param numbers - machine frames, of which the first `count` are used
   */
  logFrames(numbers: Uint32Array, count: number): void {
    const frames = this.#frames
    if (frames.length === 0) return
    let any = false
    for (let i = 0; i < count; i++) {
      const frame = numbers[i]!
      if (frames[frame] === 0) continue
      frames[frame] = TO_LOG
      any = true
    }
    if (!any) return
    const { journals, parked } = this.#entries
    for (const journal of journals) this.#logMarked(journal)
    for (const { words, length } of parked.spaces) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        const isMarked = frames[words[at + 3]! >>> PAGE_SHIFT] === TO_LOG
        if (isMarked && this.#entries.isWrite(words[at]!)) this.#entries.makeLogged(words, at + 1)
      }
    }
    for (let i = 0; i < count; i++) if (frames[numbers[i]!] === TO_LOG) frames[numbers[i]!] = SLOW_AT_MOST
  }

  #logMarked({ entries, count }: TlbJournal): void {
    const { u32 } = this.#entries
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      const isMarked = this.#frames[u32[(entry >>> 2) + 2]! >>> PAGE_SHIFT] === TO_LOG
      if (isMarked && this.#entries.isWrite(entry)) this.#entries.makeLogged(u32, entry >>> 2)
    }
  }
}
