import { decodeState, encodeState, PAGE_BYTES } from '@retrap/snapshot'
import { RecordingError } from './errors.ts'
import type { Instant } from './format.ts'
import { PageStore, ZEROS } from './page-store.ts'
import { applied, nonZero, putOver, type DirtyPages } from './dirty-pages.ts'

/** Bytes that all checkpoints may have together. */
const MOST_BYTES = 256 * 2 ** 20
/** Bytes for the number of a frame and that of its page. */
const BYTES_A_FRAME = 8

/** A checkpoint with all of memory. */
export interface StoredCheckpoint<T> extends Instant {
  /** All state but the pages; a copy. */
  readonly state: unknown
  /** The extra value that was given with the checkpoint. */
  readonly extra: T
  /** Numbers of the pages that are not zeros, from low to high. */
  readonly gfns: Uint32Array
  /**
   * Returns the contents of a page, for reading only.
   *
   * @param index - in `gfns`
   * @throws RecordingError `ERR_STATE` for a checkpoint that was dropped meanwhile
   */
  contents(index: number): Uint8Array
  /** A number that pages of the same source have only where their contents are the same. @param index - in `gfns` */
  identity(index: number): number
  /** Pages of different sources have unrelated numbers. */
  readonly source: object
}

interface Entry<T> extends Instant {
  readonly text: string
  /** Byte pieces that the text refers to, in pages, with their lengths. */
  readonly pieces: readonly number[]
  readonly bytes: number
  readonly extra: T
  readonly extraBytes: number
  /** Frames written since the previous checkpoint, with their present pages; for the first checkpoint: all nonzero frames. */
  written: DirtyPages
  /** Whether frames written with unchanged contents are excluded. */
  isCompared: boolean
}

/** A checkpoint of a store, in the form for a file. */
export interface CheckpointForFile<T> {
  /** Instant. */
  readonly at: Instant
  /** All state but the pages; a copy. */
  readonly state: unknown
  /** The extra value given with the checkpoint. */
  readonly extra: T
  /** Frames that were written since the checkpoint before, with their pages in the file: from 1 on; 0 is zeros. */
  readonly written: DirtyPages
  /** Whether frames written with unchanged contents may be excluded. */
  readonly isCompared: boolean
}

/** The memory of a checkpoint that is about to be added to its store, frame by frame. */
export interface CheckpointDraft {
  /** The source that holds the pages. */
  readonly source: object
  /**
   * Adds a written frame.
   *
   * @param offset - offset of its contents within the bytes; −1: a zero page
   * @param isCompared - whether to leave the frame out if its contents are unchanged
   * @throws RecordingError `ERR_STATE` if the added frames exceed the room
   */
  add(gfn: number, from: Uint8Array, offset: number, isCompared?: boolean): void
  /** Takes the frames, from low to high, with the numbers of their pages in the store. */
  take(): DirtyPages
  /** Discards the draft with its frames. */
  discard(): void
}

class Draft implements CheckpointDraft {
  readonly #pages: PageStore
  readonly #latest: (gfn: number) => number
  readonly #mostBytes: number
  /** Frame numbers and pages, alternating. */
  #frames: number[] = []

  constructor(pages: PageStore, latest: (gfn: number) => number, mostBytes: number) {
    this.#pages = pages
    this.#latest = latest
    this.#mostBytes = pages.bytes + mostBytes
  }

  get source(): object {
    return this.#pages
  }

  add(gfn: number, from: Uint8Array, offset: number, isCompared = false): void {
    if (offset < 0) this.#pages.use(ZEROS)
    const page = offset < 0 ? ZEROS : this.#pages.add(from, offset)
    if (isCompared && page === this.#latest(gfn)) this.#pages.release(page)
    else this.#frames.push(gfn, page)
    if (this.#pages.bytes > this.#mostBytes)
      throw new RecordingError('ERR_STATE', `there is no room for a checkpoint: it has over ${this.#mostBytes} bytes`)
  }

  take(): DirtyPages {
    const frames = this.#frames
    this.#frames = []
    const order = new Uint32Array(frames.length / 2).map((_, i) => i)
    order.sort((a, b) => frames[2 * a]! - frames[2 * b]!)
    return { gfns: order.map((i) => frames[2 * i]!), pages: order.map((i) => frames[2 * i + 1]!) }
  }

  discard(): void {
    for (const page of this.take().pages) this.#pages.release(page)
  }
}

/**
 * Checkpoints of one run in memory, in the order of their instants.
 *
 * Each checkpoint holds the pages written since the previous one. Pages are compressed, and equal pages are stored once.
 * When room runs out, checkpoints are dropped whose neighbours are near relative to their age, so that distances grow
 * with age.
 */
export class CheckpointStore<T> {
  /** Bytes that all checkpoints may have together. */
  readonly mostBytes: number
  readonly #entries: Entry<T>[] = []
  #pages = new PageStore()
  /** Page of each frame at the last checkpoint, without zero frames. */
  #latest = new Map<number, number>()
  /** Bytes beside the pages. */
  #bytes = 0

  /** @param mostBytes - most bytes of all checkpoints together; default 256 MiB */
  constructor(mostBytes: number = MOST_BYTES) {
    this.mostBytes = mostBytes
  }

  /** Bytes of all checkpoints. */
  get bytes(): number {
    return this.#pages.bytes + this.#bytes
  }

  /** The instants of all checkpoints, in order. */
  get instants(): readonly Instant[] {
    return this.#entries.map(({ round, instructions }) => ({ round, instructions }))
  }

  /** The instant of the last checkpoint; undefined: none. */
  get last(): Instant | undefined {
    return this.#entries.at(-1)
  }

  /** Whether a frame was zeros at the last checkpoint. */
  wasZeros(gfn: number): boolean {
    return !this.#latest.has(gfn)
  }

  /** The frames that were not zeros at the last checkpoint. */
  latestFrames(): IterableIterator<number> {
    return this.#latest.keys()
  }

  /** Returns the last checkpoint that is not after an instruction; −1: none. */
  nearest(instructions: number): number {
    return this.#entries.findLastIndex((entry) => entry.instructions <= instructions)
  }

  /** Begins a checkpoint, which must be added or discarded before another draft. */
  draft(): CheckpointDraft {
    return new Draft(this.#pages, (gfn) => this.#latest.get(gfn) ?? ZEROS, this.mostBytes)
  }

  /**
   * Appends a checkpoint.
   *
   * @param memory - frames written since the checkpoint before; for checkpoint 0: all nonzero frames
   * @param extraBytes - memory that `extra` keeps
   * @param isCompared - whether unchanged frames may be left out
   * @throws SnapshotError for a state that is no plain data
   */
  add(
    { round, instructions }: Instant,
    state: unknown,
    memory: CheckpointDraft,
    extra: T,
    extraBytes = 0,
    isCompared = false,
  ): void {
    const { text, bytes } = encodeState(state)
    if (memory.source !== this.#pages)
      throw new RecordingError('ERR_STATE', 'the store was cleared since the checkpoint was begun')
    const written = memory.take()
    for (const [i, gfn] of written.gfns.entries()) {
      const page = written.pages[i]!
      if (page === ZEROS) this.#latest.delete(gfn)
      else this.#latest.set(gfn, page)
    }
    const pieces: number[] = []
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      const piece = new Uint8Array(PAGE_BYTES)
      piece.set(bytes.subarray(at, at + PAGE_BYTES))
      pieces.push(this.#pages.add(piece, 0))
    }
    const entry = { round, instructions, text, pieces, bytes: bytes.length, extra, extraBytes, written, isCompared }
    this.#entries.push(entry)
    this.#bytes += besides(entry)
    this.thin(this.mostBytes)
  }

  /**
   * Drops checkpoints until the rest has at most `mostBytes`. The first one stays if it fits.
   *
   * @param least - number of latest checkpoints to keep
   */
  thin(mostBytes: number, least = 0): void {
    while (this.bytes > mostBytes && this.#entries.length > least) {
      if (this.#entries.length === 1) this.clear()
      else this.#drop(this.#leastMissed())
    }
  }

  /** Returns the checkpoint with the nearest neighbours for its age; the first one if only that and the last one are left. */
  #leastMissed(): number {
    const entries = this.#entries
    const end = entries.at(-1)!.instructions
    let [least, found] = [Infinity, 0]
    for (let at = 1; at < entries.length - 1; at++) {
      const gap = entries[at + 1]!.instructions - entries[at - 1]!.instructions
      const missed = gap / Math.max(1, end - entries[at]!.instructions)
      if (missed < least) [least, found] = [missed, at]
    }
    return found
  }

  /** Drops a checkpoint: the next one takes over its written frames. */
  #drop(at: number): void {
    const [dropped] = this.#entries.splice(at, 1) as [Entry<T>]
    const next = this.#entries[at]!
    this.#bytes -= besides(dropped) + besides(next)
    if (dropped.isCompared) next.isCompared = true
    next.written = applied(dropped.written, next.written, (page) => this.#pages.release(page))
    this.#bytes += besides(next)
    for (const page of dropped.pieces) this.#pages.release(page)
  }

  /**
   * Drops checkpoints before an instant. The first remaining one gets all of memory.
   *
   * @returns the extra value of the first remaining checkpoint; undefined: none is left
   */
  dropBefore({ instructions }: Instant): T | undefined {
    while (this.#entries.length > 0 && this.#entries[0]!.instructions < instructions)
      if (this.#entries.length === 1) this.clear()
      else this.#drop(0)
    return this.#entries[0]?.extra
  }

  /** Drops all. */
  clear(): void {
    this.#entries.length = 0
    this.#latest = new Map()
    this.#pages = new PageStore()
    this.#bytes = 0
  }

  /** Whether a page may have been written between the checkpoint before and this one. */
  wasWritten(number: number, gfn: number): boolean {
    const { isCompared, written } = this.#entries[number]!
    return isCompared || written.gfns.includes(gfn)
  }

  /** Returns a checkpoint with all of memory. */
  read(number: number): StoredCheckpoint<T> {
    const { round, instructions, extra } = this.#entries[number]!
    const store = this.#pages
    const all = new Map<number, number>()
    for (const { written } of this.#entries.slice(0, number + 1)) putOver(all, written)
    const { gfns, pages } = nonZero(all)
    const identities = Array.from(pages, (page) => store.identity(page))
    return {
      round,
      instructions,
      state: this.#stateOf(this.#entries[number]!),
      extra,
      gfns,
      contents(index) {
        const page = pages[index]!
        if (store.identity(page) !== identities[index])
          throw new RecordingError('ERR_STATE', `the checkpoint at instruction ${instructions} was dropped`)
        return store.contents(page)
      },
      identity: (index) => identities[index]!,
      source: store,
    }
  }

  #stateOf({ text, pieces, bytes }: Entry<T>): unknown {
    const all = new Uint8Array(pieces.length * PAGE_BYTES)
    for (const [i, page] of pieces.entries()) all.set(this.#pages.contents(page), i * PAGE_BYTES)
    return decodeState({ text, bytes: all.subarray(0, bytes) })
  }

  /** All pages and checkpoints, for a file. The store is to be left alone until all checkpoints were read. */
  forFile(): { readonly blocks: readonly Uint8Array[]; readonly checkpoints: Iterable<CheckpointForFile<T>> } {
    const { blocks, numberOf } = this.#pages.blocks()
    const checkpointOf = (entry: Entry<T>): CheckpointForFile<T> => {
      const { round, instructions, extra, written, isCompared } = entry
      const pages = written.pages.map((page) => (page === ZEROS ? ZEROS : 1 + numberOf(page)))
      const state = this.#stateOf(entry)
      return { at: { round, instructions }, state, extra, written: { gfns: written.gfns, pages }, isCompared }
    }
    const entries = this.#entries
    return {
      blocks,
      checkpoints: (function* () {
        for (const entry of entries) yield checkpointOf(entry)
      })(),
    }
  }
}

const besides = ({ text, extraBytes, written }: Entry<unknown>): number =>
  2 * text.length + extraBytes + BYTES_A_FRAME * written.gfns.length
