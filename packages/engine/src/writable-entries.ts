import { PAGE_SHIFT } from '@retrap/memory'
import { PARKED_WORDS } from './parked-entries.ts'
import type { FrameWriters } from './frame-writers.ts'
import type { ParkedEntries } from './parked-entries.ts'
import type { TlbJournal } from './tlb-journal.ts'

/** Bit of a frame: it may have write entries, or its entries are being dropped. */
const MAY_HAVE = 1
const TO_DROP = 2
/** Special values of the remembered entry: no entry, or more than one. */
const NONE = 0
const SEVERAL = -1

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
  /** Makes an entry hold nothing. */
  invalidate(entry: number): void
  /** The record of frames with write entries, for other threads; absent: only this TLB needs them. */
  readonly writers?: FrameWriters | undefined
}

/** Knows which machine frames a TLB may have write entries of, and drops these: writes to a frame must be seen. */
export class WritableEntries {
  /** The state of each frame: 0, or {@link MAY_HAVE}, parked entries included; or {@link TO_DROP}. Empty before the first entry. */
  #frames = new Uint8Array(0)
  readonly #frameCount: number
  readonly #entries: TlbEntries
  /** The frame that {@link WritableEntries.drop} was called for last. */
  #droppedFrame = -1
  /**
   * The single write entry made for that frame since, or {@link NONE} or {@link SEVERAL}; no other entry, parked or
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

  /** A write entry is made. @param target - machine address of its page */
  note(entry: number, target: number): void {
    const frame = target >>> PAGE_SHIFT
    if (this.#frames.length === 0) this.#frames = new Uint8Array(this.#frameCount)
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

  /** Drops all write entries of a frame, in all address spaces. @param frameMa - machine address of the frame */
  drop(frameMa: number): void {
    const frame = frameMa >>> PAGE_SHIFT
    if (this.#frames.length === 0 || this.#frames[frame] === 0) return
    this.#frames[frame] = 0
    const only = frame === this.#droppedFrame ? this.#only : SEVERAL
    this.#droppedFrame = frame
    this.#only = NONE
    const { u32, journals, parked } = this.#entries
    if (only !== SEVERAL) {
      if (only !== NONE && u32[(only >>> 2) + 2] === frameMa) this.#entries.invalidate(only)
      return
    }
    for (const { entries, count } of journals) {
      for (let i = 0; i < count; i++) {
        const entry = entries[i]!
        if (u32[(entry >>> 2) + 2] === frameMa && this.#entries.isWrite(entry)) this.#entries.invalidate(entry)
      }
    }
    for (const { words, length } of parked.spaces) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        if (words[at + 3] === frameMa && this.#entries.isWrite(words[at]!)) words[at + 4] = 0
      }
    }
  }

  /**
   * Drops all write entries of many frames, in one pass over all entries.
   *
   * @param numbers - machine frames, of which the first `count` are used
   */
  dropFrames(numbers: Uint32Array, count: number): void {
    const frames = this.#frames
    if (frames.length === 0) return
    let any = false
    for (let i = 0; i < count; i++) {
      const frame = numbers[i]!
      if (frames[frame] === 0) continue
      frames[frame] = TO_DROP
      any = true
    }
    if (!any) return
    const { journals, parked } = this.#entries
    for (const journal of journals) this.#dropMarked(journal)
    for (const { words, length } of parked.spaces) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        const isMarked = frames[words[at + 3]! >>> PAGE_SHIFT] === TO_DROP
        if (isMarked && this.#entries.isWrite(words[at]!)) words[at + 4] = 0
      }
    }
    for (let i = 0; i < count; i++) if (frames[numbers[i]!] === TO_DROP) frames[numbers[i]!] = 0
  }

  #dropMarked({ entries, count }: TlbJournal): void {
    const { u32 } = this.#entries
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      const isMarked = this.#frames[u32[(entry >>> 2) + 2]! >>> PAGE_SHIFT] === TO_DROP
      if (isMarked && this.#entries.isWrite(entry)) this.#entries.invalidate(entry)
    }
  }
}
