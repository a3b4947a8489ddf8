import { encodeState } from '@retrap/snapshot'
import { BodyPages } from './body-pages.ts'
import type { CheckpointStore } from './checkpoint-store.ts'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { RecordingError } from './errors.ts'
import { EventEncoder, type EventKind } from './events.ts'
import { encodeHead, encodeHeader, type Instant, type SectionName } from './format.ts'
import type { IndexEntry, MissingParts, RecordingEnd, RecordingIndex, RecordingMark } from './recording-index.ts'
import type { DirtyPages } from './dirty-pages.ts'

/** Blocks of pages that wait to be written at once. */
const BLOCKS_AT_ONCE = 64
/** Number of bytes at which events are compressed and written. */
const LOG_BYTES = 256 * 1024

/**
 * Writes a recording, piece by piece. Pieces that were written before a cut can be read.
 *
 * Pieces are written one after the other while the machine goes on. `settled` waits for them, and `waitingBytes` says how
 * much is still to be written.
 */
export class RecordingWriter {
  readonly #write: (bytes: Uint8Array) => unknown
  readonly #codec = new Codec()
  readonly #events = new EventEncoder()
  readonly #bodies = new BodyPages((block) => this.#put('DATA', block, BLOCK_BYTES, this.#last))
  #index: IndexEntry[] = []
  #marks: RecordingMark[] = []
  /** Places from which on the log names nothing before, in order. */
  #segments: Segment[] = []
  #missing: MissingParts = { pieces: 0, blocks: 0 }
  /** Number of dropped sections, and their bytes. */
  #droppedSections = 0
  #droppedBytes = 0
  #droppedMarks = 0
  /** Number of sections written or waiting. */
  #sections = 0
  #at = 0
  #pieces = 0
  /** The instant of the first event that waits. */
  #first: Instant = { round: 0, instructions: 0 }
  #last: Instant = { round: 0, instructions: 0 }
  #chain: Promise<void>
  #waiting = 0
  #ended = false
  #hasCheckpoints = false
  #failure: { readonly error: unknown } | undefined

  /**
   * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
   * @param description - the facts about the machine for readers, as JSON data
   */
  constructor(write: (bytes: Uint8Array) => unknown, description: unknown) {
    this.#write = write
    this.#chain = Promise.resolve()
    // A continued file already has head and description.
    if (description === GOES_ON) return
    this.#chain = this.#attempt(() => this.#append(encodeHeader()))
    this.#section('DESC', new TextEncoder().encode(JSON.stringify(description)), this.#last)
  }

  /**
   * Returns a writer that goes on with a copy of the file so far: checkpoints and an end can be put to that while this one writes on.
   *
   * @param write - takes the bytes after the file's bytes so far
   * @throws RecordingError `ERR_STATE` after the end; errors of writing
   */
  async copy(write: (bytes: Uint8Array) => unknown): Promise<RecordingWriter> {
    this.#check()
    this.flush()
    await this.settled()
    const copy = new RecordingWriter(write, GOES_ON)
    const gone = this.#droppedBytes
    copy.#index = this.#index.map((entry) =>
      IN_FRONT.has(entry.name) ? entry : { ...entry, offset: entry.offset - gone },
    )
    copy.#marks.push(...this.#marks)
    copy.#at = this.#at - gone
    copy.#missing = this.#missing
    copy.#pieces = this.#pieces
    copy.#last = this.#last
    return copy
  }

  /** Adds an image that the machine was made with, such as a kernel: `Recording.image` reads it. */
  addImage(bytes: Uint8Array): void {
    this.#check()
    this.#section('IMAG', bytes, this.#last)
  }

  /** Number of pieces of the log, written or waiting. */
  get pieces(): number {
    return this.#pieces
  }

  /** The first piece of the log that was not dropped. */
  get firstPiece(): number {
    return this.#missing.pieces
  }

  /** Writes added events. The log can be read from here on without earlier parts. @returns the number of its next piece */
  segment(): number {
    this.flush()
    const blocks = this.#bodies.forget()
    const marks = this.#droppedMarks + this.#marks.length
    if (this.#segments.at(-1)?.pieces !== this.#pieces)
      this.#segments.push({ pieces: this.#pieces, blocks, sections: this.#sections, marks })
    return this.#pieces
  }

  /**
   * Drops the log before a segment. Images are to come before all events.
   *
   * @param piece - first piece of the segment, from `segment`
   * @param dropped - called with the byte range of the file that is no longer needed, after all of it was written
   * @throws RecordingError `ERR_STATE` if no segment begins at `piece`
   */
  dropBefore(piece: number, dropped: (from: number, to: number) => void): void {
    const number = this.#segments.findIndex(({ pieces }) => pieces === piece)
    const segment = this.#segments[number]
    if (segment === undefined) throw new RecordingError('ERR_STATE', `piece ${piece}: no segment begins there`)
    this.#segments = this.#segments.slice(number)
    const { pieces, blocks, sections, marks } = segment
    this.#marks = this.#marks.slice(marks - this.#droppedMarks)
    this.#droppedMarks = marks
    this.#missing = { pieces, blocks }
    // Earlier sections may still wait to be written.
    this.#chain = this.#chain.then(() => {
      const first = this.#index.findIndex(({ name }) => !IN_FRONT.has(name))
      const count = first < 0 ? 0 : Math.max(0, sections - this.#droppedSections - first)
      const from = this.#index[first]?.offset ?? this.#at
      this.#index.splice(first, count)
      const to = this.#index[first]?.offset ?? this.#at
      this.#droppedSections += count
      this.#droppedBytes += to - from
      dropped(from, to)
    })
  }

  /** Bytes that wait to be written. */
  get waitingBytes(): number {
    return this.#waiting
  }

  /**
   * Adds an event, whose bytes are copied.
   *
   * @param body - further bytes, which may be many and repetitive: each distinct page is written once
   * @throws RecordingError `ERR_STATE` after the end, and for one out of order, or of more than 8 MiB without the body
   */
  add(kind: EventKind, at: Instant, source: number, data: Uint8Array, body?: Uint8Array): void {
    this.#check()
    if (this.#events.length === 0) {
      this.#first = { round: at.round, instructions: at.instructions }
      this.#events.begin(this.#first)
    }
    this.#events.add(kind, at, source, data, body && this.#bodies.add(body))
    this.#last = { round: at.round, instructions: at.instructions }
    if (this.#events.length >= LOG_BYTES) this.flush()
  }

  /** Names an instant. */
  mark(at: Instant, name: string): void {
    this.add('mark', at, 0, new TextEncoder().encode(name))
    this.#marks.push({ name, round: at.round, instructions: at.instructions })
    this.flush()
  }

  /** Begins to write added events. */
  flush(): void {
    if (this.#events.length === 0) return
    this.#pieces++
    // Write pages before the events that refer to them.
    this.#bodies.close()
    this.#section('LOG ', this.#events.take(), this.#first)
  }

  /**
   * Adds all checkpoints of a store, which is to be left alone meanwhile. Once, behind all events.
   *
   * @param stateOf - makes the state that the file gets
   * @throws RecordingError `ERR_STATE` after the end, and the second time; SnapshotError for data that is not plain;
   * errors of `write`
   */
  async addCheckpoints<T>(
    store: CheckpointStore<T>,
    stateOf: (state: unknown, extra: T) => unknown = (state) => state,
  ): Promise<void> {
    this.#check()
    if (this.#hasCheckpoints) throw new RecordingError('ERR_STATE', 'the recording has its checkpoints already')
    this.#hasCheckpoints = true
    this.flush()
    const { blocks, checkpoints } = store.forFile()
    for (const [i, block] of blocks.entries()) {
      this.#put('PAGE', block, BLOCK_BYTES, this.#last)
      if (i % BLOCKS_AT_ONCE === 0) await this.settled()
    }
    for (const { at, state, extra, written, isCompared } of checkpoints) {
      const { text, bytes } = encodeState(stateOf(state, extra))
      this.#section('STAT', new TextEncoder().encode(text), at)
      this.#section('BYTE', bytes, at)
      this.#section('PMAP', encodeMap(written, isCompared), at)
      if (at.round > this.#last.round) this.#last = at
      await this.settled()
    }
  }

  /** Waits until all flushed data is written. @throws errors of `write` */
  async settled(): Promise<void> {
    await this.#chain
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /**
   * Writes added events, and returns the file's index so far for `openRecording`, so that a recording can be read while it
   * is written.
   *
   * @param at - present end of the recording
   * @throws RecordingError `ERR_STATE` after the end; errors of writing
   */
  async soFar(at: RecordingEnd): Promise<RecordingIndex> {
    this.#check()
    this.flush()
    await this.settled()
    return { ...this.#indexAt(at), sections: [...this.#index], marks: [...this.#marks] }
  }

  /**
   * Ends the recording with its index, by which it can be opened quickly.
   *
   * @param at - the end of the run
   * @throws what writing threw
   */
  async end(at: RecordingEnd = this.#last): Promise<void> {
    this.#check()
    this.flush()
    this.#ended = true
    await this.settled()
    const index = this.#indexAt(at)
    const where = this.#at
    this.#section('INDX', new TextEncoder().encode(JSON.stringify(index)), at)
    const footer = new Uint8Array(8)
    new DataView(footer.buffer).setFloat64(0, where, true)
    this.#section('END ', footer, at)
    await this.settled()
  }

  #indexAt(end: RecordingEnd): RecordingIndex {
    const missing = this.#missing.pieces > 0 && { missing: this.#missing }
    return { sections: this.#index, marks: this.#marks, end, ...missing }
  }

  #check(): void {
    if (this.#ended) throw new RecordingError('ERR_STATE', 'the recording has ended: nothing can be added')
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #section(name: SectionName, bytes: Uint8Array, at: Instant): void {
    // Uncompressed, because a reader checks the footer before it knows the file.
    this.#put(name, name === 'END ' ? bytes : this.#codec.compress(bytes), bytes.length, at)
  }

  /** @param data - contents as stored in the file. @param bytes - their decompressed length */
  #put(name: SectionName, data: Uint8Array, bytes: number, at: Instant): void {
    this.#waiting += data.length
    this.#sections++
    const write = async (): Promise<void> => {
      const offset = this.#at
      await this.#append(encodeHead(name, data, bytes, at))
      await this.#append(data)
      this.#index.push({ name, offset, round: at.round, instructions: at.instructions })
    }
    this.#chain = this.#chain.then(async () => {
      await this.#attempt(write)
      this.#waiting -= data.length
    })
  }

  async #attempt(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      this.#failure ??= { error }
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined || bytes.length === 0) return
    await this.#write(bytes)
    this.#at += bytes.length
  }
}

/** Given in place of a description: another writer has begun the file. */
const GOES_ON = Symbol('a file that goes on')

/** Sections in front of the log, which stay. */
const IN_FRONT: ReadonlySet<string> = new Set<SectionName>(['DESC', 'IMAG'])

/** A place in the log. */
interface Segment extends MissingParts {
  /** Number of the file's preceding sections. */
  readonly sections: number
  /** Number of marks before the section. */
  readonly marks: number
}

/** Encodes a flag for compared frames; then each frame with its page. */
function encodeMap({ gfns, pages }: DirtyPages, isCompared: boolean): Uint8Array {
  const map = new Uint8Array(4 + 8 * gfns.length)
  const view = new DataView(map.buffer)
  view.setUint32(0, Number(isCompared), true)
  for (let i = 0; i < gfns.length; i++) {
    view.setUint32(4 + 8 * i, gfns[i]!, true)
    view.setUint32(8 + 8 * i, pages[i]!, true)
  }
  return map
}
