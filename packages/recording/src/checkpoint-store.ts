import { decodeState, encodeState } from '@retrap/snapshot'
import { type Instant, PAGE_BYTES } from './format.ts'
import type { Checkpoint } from './write.ts'

/** Bytes that all checkpoints may have together. */
const MOST_BYTES = 256 * 2 ** 20

/** The contents of a page; null: zeros. The bytes do not change any more. */
export type PageContents = Uint8Array | null

/** A checkpoint of a {@link CheckpointStore}, with all of memory. */
export interface StoredCheckpoint<T> extends Instant {
  /** All state but the pages; a copy. */
  readonly state: unknown
  /** What was given with it. */
  readonly extra: T
  /** Numbers of the pages that are not zeros, from low to high. */
  readonly gfns: Uint32Array
  /** Returns the contents of a page. @param index - in `gfns` */
  contents(index: number): Uint8Array
}

interface Entry<T> extends Instant {
  readonly text: string
  /** Bytes that the text refers to, in pieces of a page. */
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
  readonly extra: T
  readonly extraBytes: number
  /** Pages that were written since the checkpoint before, with their contents now; of the first: all that are not zeros. */
  readonly written: Map<number, PageContents>
  /** Pages that were written and have the contents that they had are not among them. */
  isCompared: boolean
}

/**
 * Checkpoints of one run in memory, in the order of their instants.
 *
 * Each has the pages that were written since the one before; contents that are the same are there once. When there is no
 * room for more, checkpoints are dropped: those whose neighbours are near, compared with how long ago they are. So
 * distances grow with age.
 */
export class CheckpointStore<T> {
  /** Bytes that all checkpoints may have together. */
  readonly mostBytes: number
  readonly #entries: Entry<T>[] = []
  /** All pages of the last checkpoint that are not zeros. */
  #latest = new Map<number, Uint8Array>()
  #lastPieces: readonly Uint8Array[] = []
  /** How many checkpoints have a piece of memory. */
  readonly #uses = new Map<Uint8Array, number>()
  #bytes = 0

  /** @param mostBytes - that all checkpoints may have together; default 256 MiB */
  constructor(mostBytes: number = MOST_BYTES) {
    this.mostBytes = mostBytes
  }

  /** Bytes of all checkpoints. */
  get bytes(): number {
    return this.#bytes
  }

  /** The instants of all checkpoints, in order. */
  get instants(): readonly Instant[] {
    return this.#entries.map(({ round, instructions }) => ({ round, instructions }))
  }

  /** The instant of the last checkpoint; undefined: there is none. */
  get last(): Instant | undefined {
    return this.#entries.at(-1)
  }

  /** The contents of a page at the last checkpoint. */
  latest(gfn: number): PageContents {
    return this.#latest.get(gfn) ?? null
  }

  /** The last checkpoint that is not after an instruction; −1: there is none. */
  nearest(instructions: number): number {
    return this.#entries.findLastIndex((entry) => entry.instructions <= instructions)
  }

  /**
   * Adds a checkpoint behind all others.
   *
   * @param written - pages that were written since the last one, from low to high, with their contents; contents that
   *   {@link CheckpointStore.latest} has returned are not kept twice. For the first one: all pages that are not zeros
   * @param extraBytes - memory that `extra` keeps
   * @param isCompared - of pages that were written, `written` has only those that have other contents now
   * @throws SnapshotError for a state that is no plain data
   */
  add(
    { round, instructions }: Instant,
    state: unknown,
    written: ReadonlyMap<number, PageContents>,
    extra: T,
    extraBytes = 0,
    isCompared = false,
  ): void {
    const { text, bytes } = encodeState(state)
    const pieces = piecesOf(bytes, this.#lastPieces)
    const entry: Entry<T> = {
      round,
      instructions,
      text,
      pieces,
      bytes: bytes.length,
      extra,
      extraBytes,
      written: new Map(written),
      isCompared,
    }
    for (const [gfn, contents] of written) {
      if (contents === null) this.#latest.delete(gfn)
      else this.#latest.set(gfn, contents)
    }
    this.#lastPieces = pieces
    this.#bytes += 2 * text.length + extraBytes
    for (const piece of pieces) this.#use(piece)
    for (const contents of written.values()) if (contents !== null) this.#use(contents)
    this.#entries.push(entry)
    this.thin(this.mostBytes)
  }

  #use(piece: Uint8Array): void {
    const uses = this.#uses.get(piece) ?? 0
    if (uses === 0) this.#bytes += piece.length
    this.#uses.set(piece, uses + 1)
  }

  #release(piece: Uint8Array): void {
    const uses = this.#uses.get(piece)! - 1
    if (uses > 0) this.#uses.set(piece, uses)
    else {
      this.#uses.delete(piece)
      this.#bytes -= piece.length
    }
  }

  /**
   * Drops checkpoints until the others have no more bytes than that. The first one stays if it fits.
   *
   * @param least - so many are left, from the last one on
   */
  thin(mostBytes: number, least = 0): void {
    while (this.#bytes > mostBytes && this.#entries.length > least) {
      if (this.#entries.length === 1) this.clear()
      else this.#drop(this.#leastMissed())
    }
  }

  /** The checkpoint whose neighbours are nearest, for its age; the first one, where only that and the last one are left. */
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

  /** Drops one: the next one takes over what was written before it. */
  #drop(at: number): void {
    const [dropped] = this.#entries.splice(at, 1) as [Entry<T>]
    const next = this.#entries[at]!
    const { written } = next
    if (dropped.isCompared) next.isCompared = true
    for (const [gfn, contents] of dropped.written) {
      if (!written.has(gfn)) written.set(gfn, contents)
      else if (contents !== null) this.#release(contents)
    }
    for (const piece of dropped.pieces) this.#release(piece)
    this.#bytes -= 2 * dropped.text.length + dropped.extraBytes
  }

  /** Drops all. */
  clear(): void {
    this.#entries.length = 0
    this.#latest = new Map()
    this.#lastPieces = []
    this.#uses.clear()
    this.#bytes = 0
  }

  /** Whether a page may have been written between the checkpoint before and this one. */
  wasWritten(number: number, gfn: number): boolean {
    const { isCompared, written } = this.#entries[number]!
    return isCompared || written.has(gfn)
  }

  /** Returns a checkpoint with all of memory. */
  read(number: number): StoredCheckpoint<T> {
    const { round, instructions, extra } = this.#entries[number]!
    const pages = new Map<number, PageContents>()
    for (const { written } of this.#entries.slice(0, number + 1))
      for (const [gfn, contents] of written) pages.set(gfn, contents)
    const some = [...pages].filter((page): page is [number, Uint8Array] => page[1] !== null).sort(([a], [b]) => a - b)
    const gfns = Uint32Array.from(some, ([gfn]) => gfn)
    return { round, instructions, state: this.#stateOf(number), extra, gfns, contents: (index) => some[index]![1] }
  }

  #stateOf(number: number): unknown {
    const { text, pieces, bytes } = this.#entries[number]!
    return decodeState({ text, bytes: bytesOf(pieces, bytes) })
  }

  /**
   * All checkpoints for a file, the last one first: it has all of memory, and each other one what differs from the one after
   * it. Each is copied when it is its turn; the store is to be left alone until the last one.
   *
   * @param stateOf - makes the state that is written
   */
  *fromLast(stateOf: (state: unknown, extra: T) => unknown): Generator<readonly [at: Instant, checkpoint: Checkpoint]> {
    const entries = this.#entries
    /** By checkpoint: what its pages were before it. */
    const before: Map<number, PageContents>[] = []
    const pages = new Map<number, PageContents>()
    for (const { written } of entries) {
      before.push(new Map([...written.keys()].map((gfn) => [gfn, pages.get(gfn) ?? null])))
      for (const [gfn, contents] of written) pages.set(gfn, contents)
    }
    for (let at = entries.length - 1; at >= 0; at--) {
      const entry = entries[at]!
      const isLast = at === entries.length - 1
      const changed = isLast ? pages : before[at + 1]!
      const gfns = [...changed.keys()].sort((a, b) => a - b)
      const some = gfns.filter((gfn) => changed.get(gfn) !== null)
      const bytes = new Uint8Array(some.length * PAGE_BYTES)
      for (const [i, gfn] of some.entries()) {
        const page = bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)
        page.set(changed.get(gfn)!)
        // Little of a page has been written, as a rule: the rest becomes zeros.
        if (!isLast) exclusiveOr(page, pages.get(gfn) ?? null)
      }
      if (!isLast) for (const [gfn, contents] of changed) pages.set(gfn, contents)
      const checkpoint = {
        state: stateOf(this.#stateOf(at), entry.extra),
        pages: { gfns: Uint32Array.from(some), bytes },
        ...(!isLast && {
          areDifferences: true,
          cleared: Uint32Array.from(gfns.filter((gfn) => changed.get(gfn) === null)),
        }),
        written: Uint32Array.from([...entry.written.keys()].sort((a, b) => a - b)),
      }
      yield [entry, checkpoint]
    }
  }
}

/** Cuts bytes into pieces of a page, which are copies. @param last - pieces of other bytes: one that is the same is that one */
export function piecesOf(bytes: Uint8Array, last: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    const piece = bytes.subarray(at, at + PAGE_BYTES)
    const other = last[pieces.length]
    pieces.push(other !== undefined && isEqual(other, piece) ? other : piece.slice())
  }
  return pieces
}

/** Puts pieces together again. */
export function bytesOf(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes)
  for (const [i, piece] of pieces.entries()) all.set(piece, i * PAGE_BYTES)
  return all
}

/** Leaves in a page the bits that another one has not. */
export function exclusiveOr(page: Uint8Array, other: PageContents): void {
  if (other === null) return
  const [words, others] = [wordsOf(page), wordsOf(other)]
  if (words === undefined || others === undefined) for (let i = 0; i < page.length; i++) page[i]! ^= other[i]!
  else for (let i = 0; i < words.length; i++) words[i]! ^= others[i]!
}

const wordsOf = ({ buffer, byteOffset, length }: Uint8Array): Uint32Array | undefined =>
  byteOffset % 4 === 0 ? new Uint32Array(buffer, byteOffset, length / 4) : undefined

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false
  return true
}
