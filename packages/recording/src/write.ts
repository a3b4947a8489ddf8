import { deflate, encodeState, type SnapshotPages } from '@retrap/snapshot'
import { RecordingError } from './errors.ts'
import { EventEncoder, type EventKind } from './events.ts'
import { encodeHead, encodeHeader, type Instant, PAGE_BYTES, type SectionName } from './format.ts'
import type { IndexEntry, RecordingIndex, RecordingMark } from './recording-index.ts'

/** Events are compressed and written when they have so many bytes. */
const LOG_BYTES = 256 * 1024
/** Pages that are compressed together. */
export const PAGES_A_SECTION: number = 256

/** A machine as it was at an instant. */
export interface Checkpoint {
  /** All state but the pages: plain data, which may have typed arrays and bigints. */
  readonly state: unknown
  /** Memory: all of it, or what differs from the checkpoint that was added before, which may be of a later instant. */
  readonly pages: SnapshotPages
  /**
   * The contents of `pages` are bit by bit what differs from the checkpoint that was added before (exclusive or), where a
   * page that is not there is zeros. Default false: they are contents.
   */
  readonly areDifferences?: boolean
  /** Pages that are zeros, and are not at the checkpoint that was added before; undefined: `pages` are all of memory. */
  readonly cleared?: Uint32Array
  /** Pages that were written between the next earlier instant with a checkpoint and this one, from low to high. */
  readonly written?: Uint32Array
}

/** Compresses bytes by DEFLATE without a header (RFC 1951). */
export type Deflate = (bytes: Uint8Array) => Promise<Uint8Array>

/** How a recording is written. */
export interface RecordingWriterOptions {
  /**
   * How pieces are compressed; default by the host's `CompressionStream`, in Node and pages alike. A host that can choose is
   * better off with the fastest level: most of a recording is memory, of which much has been compressed before.
   */
  readonly deflate?: Deflate | undefined
}

/**
 * Writes a recording, piece by piece. What was written before a cut can be read.
 *
 * Pieces are compressed and written one after the other while the machine goes on. `settled` waits for them, and
 * `waitingBytes` says how much is still to be written.
 */
export class RecordingWriter {
  readonly #write: (bytes: Uint8Array) => unknown
  readonly #deflate: Deflate
  readonly #events = new EventEncoder()
  readonly #index: IndexEntry[] = []
  readonly #marks: RecordingMark[] = []
  #at = 0
  #pieces = 0
  /** The instant of the first event that waits. */
  #first: Instant = { round: 0, instructions: 0 }
  #last: Instant = { round: 0, instructions: 0 }
  #chain: Promise<void>
  #waiting = 0
  #ended = false
  #failure: { readonly error: unknown } | undefined

  /**
   * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
   * @param description - what a reader must know of the machine: what JSON can hold
   */
  constructor(write: (bytes: Uint8Array) => unknown, description: unknown, options: RecordingWriterOptions = {}) {
    this.#write = write
    this.#deflate = options.deflate ?? deflate
    this.#chain = this.#attempt(() => this.#put(encodeHeader()))
    this.#section('DESC', new TextEncoder().encode(JSON.stringify(description)), this.#last)
  }

  /** Pieces of the log that were written, or wait for that. */
  get pieces(): number {
    return this.#pieces
  }

  /** Bytes that wait to be compressed and written. */
  get waitingBytes(): number {
    return this.#waiting
  }

  /** Adds an event, whose bytes are copied. @throws RecordingError `ERR_STATE` after the end, and for one out of order */
  add(kind: EventKind, at: Instant, source: number, data: Uint8Array): void {
    this.#check()
    if (this.#events.length === 0) {
      this.#first = { round: at.round, instructions: at.instructions }
      this.#events.begin(this.#first)
    }
    this.#events.add(kind, at, source, data)
    this.#last = { round: at.round, instructions: at.instructions }
    if (this.#events.length >= LOG_BYTES) this.flush()
  }

  /** Names an instant. */
  mark(at: Instant, name: string): void {
    this.add('mark', at, 0, new TextEncoder().encode(name))
    this.#marks.push({ name, round: at.round, instructions: at.instructions })
    this.flush()
  }

  /** Begins to write what was added. */
  flush(): void {
    if (this.#events.length === 0) return
    this.#pieces++
    this.#section('LOG ', this.#events.take(), this.#first)
  }

  /** Adds a checkpoint. @throws RecordingError `ERR_STATE` after the end; SnapshotError for what is no plain data */
  checkpoint(at: Instant, { state, pages, areDifferences = false, cleared, written }: Checkpoint): void {
    this.#check()
    const { text, bytes } = encodeState({ state, cleared: cleared ?? null })
    this.flush()
    this.#section('STAT', new TextEncoder().encode(text), at)
    this.#section('BYTE', bytes, at)
    if (written !== undefined)
      this.#section('WRIT', new Uint8Array(written.buffer, written.byteOffset, written.byteLength), at)
    const { gfns } = pages
    for (let from = 0; from < gfns.length; from += PAGES_A_SECTION) {
      const some = gfns.slice(from, from + PAGES_A_SECTION)
      const piece = new Uint8Array(some.length * (4 + PAGE_BYTES))
      piece.set(new Uint8Array(some.buffer, some.byteOffset, some.byteLength))
      piece.set(pages.bytes.subarray(from * PAGE_BYTES, (from + some.length) * PAGE_BYTES), 4 * some.length)
      this.#section(areDifferences ? 'DIFF' : 'PAGE', piece, at)
    }
    if (at.round > this.#last.round) this.#last = { round: at.round, instructions: at.instructions }
  }

  /** Waits until all that was flushed is written. @throws what writing threw */
  async settled(): Promise<void> {
    await this.#chain
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /**
   * Ends the recording with its index, by which it is opened at its end at once.
   *
   * @param at - where it ends
   * @throws what writing threw
   */
  async end(at: Instant = this.#last): Promise<void> {
    this.#check()
    this.flush()
    this.#ended = true
    await this.settled()
    const index: RecordingIndex = { sections: this.#index, marks: this.#marks, end: at }
    const where = this.#at
    this.#section('INDX', new TextEncoder().encode(JSON.stringify(index)), at)
    const footer = new Uint8Array(8)
    new DataView(footer.buffer).setFloat64(0, where, true)
    this.#section('END ', footer, at)
    await this.settled()
  }

  #check(): void {
    if (this.#ended) throw new RecordingError('ERR_STATE', 'the recording has ended: nothing can be added')
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #section(name: SectionName, bytes: Uint8Array, at: Instant): void {
    this.#waiting += bytes.length
    const write = async (): Promise<void> => {
      // The footer is read before it is known whether there is one.
      const data = name === 'END ' || bytes.length === 0 ? bytes : await this.#deflate(bytes)
      const offset = this.#at
      await this.#put(encodeHead(name, data, bytes.length, at))
      await this.#put(data)
      this.#index.push({ name, offset, round: at.round, instructions: at.instructions })
    }
    this.#chain = this.#chain.then(async () => {
      await this.#attempt(write)
      this.#waiting -= bytes.length
    })
  }

  async #attempt(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      this.#failure ??= { error }
    }
  }

  async #put(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined || bytes.length === 0) return
    await this.#write(bytes)
    this.#at += bytes.length
  }
}
