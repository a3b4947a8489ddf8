import { crc32, decodeState, inflate, type SnapshotPages, type SnapshotSource } from '@retrap/snapshot'
import { bytesOf, type CheckpointStore, exclusiveOr, type PageContents, piecesOf } from './checkpoint-store.ts'
import { RecordingError } from './errors.ts'
import { decodeEvents, type RecordedEvent } from './events.ts'
import {
  checkHeader,
  decodeHead,
  FOOTER_BYTES,
  HEADER_BYTES,
  type Instant,
  PAGE_BYTES,
  SECTION_BYTES,
  type SectionHead,
  type SectionName,
} from './format.ts'
import { type IndexEntry, isIndex, type RecordingIndex, type RecordingMark } from './recording-index.ts'
import { type Checkpoint, PAGES_A_SECTION } from './write.ts'

/** Sections of pages that are decompressed together. */
const SECTIONS_AT_ONCE = 8
/** Bytes of the largest section of pages. */
const MOST_PAGES_BYTES = PAGES_A_SECTION * (4 + PAGE_BYTES)

/** A recording that can be read from any of its sections on. */
export class Recording {
  /** What the writer said of the machine. */
  readonly description: unknown
  /** Where it ends: of one that was cut, the last instant that is known. */
  readonly end: Instant
  /** Named instants, in order. */
  readonly marks: readonly RecordingMark[]
  /** It was cut: the writer did not end it. */
  readonly isCut: boolean
  readonly #file: Sections
  readonly #log: readonly IndexEntry[]
  readonly #checkpoints: readonly CheckpointEntry[]

  private constructor(file: Sections, description: unknown, index: RecordingIndex, isCut: boolean) {
    this.#file = file
    this.description = description
    this.end = index.end
    this.marks = index.marks
    this.isCut = isCut
    this.#log = index.sections.filter(({ name }) => name === 'LOG ')
    this.#checkpoints = checkpointsOf(index.sections, isCut)
  }

  /** @internal Use {@link openRecording}. */
  static async open(source: SnapshotSource): Promise<Recording> {
    checkHeader(await source.read(0, HEADER_BYTES))
    const file = new Sections(source)
    const about = await file.read({ name: 'DESC', offset: HEADER_BYTES, round: 0, instructions: 0 })
    const description = parsed(about, HEADER_BYTES)
    const index = await file.index()
    return new Recording(file, description, index ?? (await lookThrough(file)), index === undefined)
  }

  /** Instants of checkpoints, in the order of the file: the last one may come first. */
  get checkpoints(): readonly Instant[] {
    return this.#checkpoints.map(({ state: { round, instructions } }) => ({ round, instructions }))
  }

  /** Pieces of the log. */
  get pieces(): number {
    return this.#log.length
  }

  /** The first piece of the log that may have events at or after a round. */
  pieceAt(round: number): number {
    const next = this.#log.findIndex((piece) => piece.round >= round)
    return Math.max(0, (next < 0 ? this.#log.length : next) - 1)
  }

  /** Reads the events of a piece of the log. @throws RecordingError `ERR_DAMAGED` */
  async events(piece: number): Promise<readonly RecordedEvent[]> {
    const entry = this.#log[piece]!
    return decodeEvents(await this.#file.read(entry), entry)
  }

  /**
   * Reads a checkpoint, with all of memory.
   *
   * @param mostPages - of the machine; a file that has more is damaged, and is read no further. Default: any number
   * @throws RecordingError `ERR_DAMAGED`
   */
  async checkpoint(number: number, mostPages: number = Infinity): Promise<Pick<Checkpoint, 'state' | 'pages'>> {
    if (this.#checkpoints[number] === undefined)
      throw new RecordingError('ERR_STATE', `there is no checkpoint ${number}`)
    const { state, cleared } = await this.#stateOf(this.#checkpoints[number])
    const chain = [cleared]
    // From the one that has all of memory.
    let first = number
    while (first > 0 && chain[0] !== null)
      // oxlint-disable-next-line no-await-in-loop -- each says whether it needs the one before
      chain.unshift((await this.#stateOf(this.#checkpoints[--first]!)).cleared)
    const pages = new Map<number, PageContents>()
    for (const [i, each] of chain.entries())
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await this.#change(pages, this.#checkpoints[first + i]!, each, mostPages)
    return { state, pages: inOrder(pages) }
  }

  /**
   * Reads all checkpoints into memory, where each is at hand: where they are in the file as {@link CheckpointStore.fromLast}
   * has written them; other ones are left out, and those for which the store has no room.
   *
   * @param store - without any
   * @param split - takes apart what `fromLast` has put together
   * @param mostPages - as in {@link Recording.checkpoint}
   * @throws RecordingError `ERR_DAMAGED`; what `split` throws
   */
  async loadCheckpoints<T>(
    store: CheckpointStore<T>,
    split: (state: unknown, number: number) => { readonly state: unknown; readonly extra: T },
    mostPages: number = Infinity,
  ): Promise<void> {
    const found: LoadedCheckpoint[] = []
    const pages = new Map<number, PageContents>()
    // A file may have far more than there is memory for.
    let held = 0
    for (const [number, entry] of this.#checkpoints.entries()) {
      if (held > store.mostBytes) break
      const { round, instructions } = entry.state
      // oxlint-disable-next-line no-await-in-loop -- each is made of the one before
      const { text, bytes, cleared } = await this.#stateOf(entry)
      const isNext = number === 0 || (cleared !== null && instructions < found[0]!.at.instructions)
      if (!isNext) break
      // oxlint-disable-next-line no-await-in-loop
      const later = await this.#change(pages, entry, number === 0 ? null : cleared, mostPages)
      // Much of a state, such as the memory of a graphics card, is that of the one before.
      const last = found[0]?.pieces ?? []
      const pieces = piecesOf(bytes, last)
      found.unshift({ at: { round, instructions }, number, text, pieces, bytes: bytes.length, later })
      held += 2 * text.length + PAGE_BYTES * (pieces.filter((piece, i) => piece !== last[i]).length + later.size)
    }
    for (const [i, { at, number, text, pieces, bytes }] of found.entries()) {
      const { state } = decodeState({ text, bytes: bytesOf(pieces, bytes) }) as { readonly state: unknown }
      const { state: own, extra } = split(state, number)
      store.add(at, own, i === 0 ? nonZero(pages) : found[i - 1]!.later, extra, 0, true)
    }
  }

  /**
   * Makes the pages of a checkpoint of those of the one before it in the file.
   *
   * @param cleared - null: it has all of memory
   * @returns the contents that changed pages had
   */
  async #change(
    pages: Map<number, PageContents>,
    entry: CheckpointEntry,
    cleared: Uint32Array | null,
    mostPages: number,
  ): Promise<Map<number, PageContents>> {
    const former = new Map<number, PageContents>()
    if (cleared === null) pages.clear()
    for (let from = 0; from < entry.pages.length; from += SECTIONS_AT_ONCE) {
      const some = entry.pages.slice(from, from + SECTIONS_AT_ONCE)
      // oxlint-disable-next-line no-await-in-loop -- a few in memory at a time
      const pieces = await Promise.all(some.map((page) => this.#file.read(page)))
      for (const [i, piece] of pieces.entries()) changePages(pages, former, piece, some[i]!.name === 'DIFF')
      if (pages.size > mostPages) throw damagedAt(some[0]!.offset)
    }
    if (cleared !== null && cleared.length > mostPages) throw damagedAt(entry.state.offset)
    for (const gfn of cleared ?? []) {
      if (!former.has(gfn)) former.set(gfn, pages.get(gfn) ?? null)
      pages.set(gfn, null)
    }
    return former
  }

  /**
   * Reads which pages were written between the next earlier instant with a checkpoint and this one, from low to high.
   *
   * @returns undefined where the file does not say
   * @throws RecordingError `ERR_DAMAGED`
   */
  async written(number: number): Promise<Uint32Array | undefined> {
    const entry = this.#checkpoints[number]?.written
    if (entry === undefined) return undefined
    const bytes = await this.#file.read(entry)
    if (bytes.length % 4 !== 0) throw damagedAt(entry.offset)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true))
  }

  async #stateOf({ state, bytes }: CheckpointEntry): Promise<SavedState> {
    const text = new TextDecoder().decode(await this.#file.read(state))
    const content = await this.#file.read(bytes)
    const saved = decodeState({ text, bytes: content }) as {
      readonly state: unknown
      readonly cleared?: unknown
    } | null
    const cleared = saved?.cleared
    if (cleared !== null && !(cleared instanceof Uint32Array)) throw damagedAt(state.offset)
    return { text, bytes: content, state: saved!.state, cleared }
  }
}

/** The state of a checkpoint. */
interface SavedState {
  /** It as the file has it. */
  readonly text: string
  readonly bytes: Uint8Array
  readonly state: unknown
  /** Pages that are zeros now; null: the checkpoint has all of memory. */
  readonly cleared: Uint32Array | null
}

/** A checkpoint of a file on its way into memory. */
interface LoadedCheckpoint {
  readonly at: Instant
  readonly number: number
  /** The state, in pieces, and how many bytes these are together. */
  readonly text: string
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
  /** The contents that its changed pages have at the checkpoint that is later. */
  readonly later: ReadonlyMap<number, PageContents>
}

/** Gives pages the contents that a section has. @param former - gets those that they had */
function changePages(
  pages: Map<number, PageContents>,
  former: Map<number, PageContents>,
  section: Uint8Array,
  areDifferences: boolean,
): void {
  const count = section.length / (4 + PAGE_BYTES)
  const view = new DataView(section.buffer, section.byteOffset, section.length)
  if (!Number.isInteger(count)) throw new RecordingError('ERR_DAMAGED', 'the recording has damaged pages')
  for (let i = 0; i < count; i++) {
    const gfn = view.getUint32(4 * i, true)
    const from = 4 * count + PAGE_BYTES * i
    const had = pages.get(gfn) ?? null
    const has = section.subarray(from, from + PAGE_BYTES)
    // The section is this reader's own.
    if (areDifferences) exclusiveOr(has, had)
    if (!former.has(gfn)) former.set(gfn, had)
    pages.set(gfn, has)
  }
}

const nonZero = (pages: ReadonlyMap<number, PageContents>): Map<number, PageContents> =>
  new Map([...pages].filter(([, contents]) => contents !== null))

interface CheckpointEntry {
  readonly state: IndexEntry
  readonly bytes: IndexEntry
  readonly written: IndexEntry | undefined
  readonly pages: readonly IndexEntry[]
}

/** A checkpoint that was cut is none. @param sections - in the order of the file */
function checkpointsOf(sections: readonly IndexEntry[], isCut: boolean): CheckpointEntry[] {
  const found: CheckpointEntry[] = []
  for (let i = 0; i < sections.length; i++) {
    const [state, bytes] = [sections[i]!, sections[i + 1]]
    if (state.name !== 'STAT' || bytes?.name !== 'BYTE') continue
    const pages: IndexEntry[] = []
    let next = i + 2
    const written = sections[next]?.name === 'WRIT' ? sections[next++] : undefined
    while (['PAGE', 'DIFF'].includes(sections[next]?.name ?? '')) pages.push(sections[next++]!)
    // Of a file that was cut, something behind it says that it is whole.
    if (!isCut || sections[next] !== undefined) found.push({ state, bytes, written, pages })
  }
  return found
}

function inOrder(pages: ReadonlyMap<number, PageContents>): SnapshotPages {
  const some = [...pages].filter((page): page is [number, Uint8Array] => page[1] !== null).sort(([a], [b]) => a - b)
  const bytes = new Uint8Array(some.length * PAGE_BYTES)
  some.forEach(([, page], i) => bytes.set(page, i * PAGE_BYTES))
  return { gfns: Uint32Array.from(some, ([gfn]) => gfn), bytes }
}

/**
 * Opens a recording. One that has its index is opened by that; one that was cut is looked through, head by head.
 *
 * @throws RecordingError `ERR_NOT_A_RECORDING`, `ERR_VERSION`, `ERR_DAMAGED`; what the source throws
 */
export const openRecording = (source: SnapshotSource): Promise<Recording> => Recording.open(source)

/** What a file that was cut has: its sections, and what their events say of marks and of the end. */
async function lookThrough(file: Sections): Promise<RecordingIndex> {
  const sections = await file.scan()
  const marks: RecordingMark[] = []
  let end: Instant = { round: 0, instructions: 0 }
  for (const entry of sections) {
    if (entry.name !== 'LOG ') continue
    // oxlint-disable-next-line no-await-in-loop -- one piece in memory at a time
    for (const event of decodeEvents(await file.read(entry), entry)) {
      end = { round: event.round, instructions: event.instructions }
      if (event.kind === 'mark') marks.push({ ...end, name: new TextDecoder().decode(event.data) })
    }
  }
  return { sections, marks, end }
}

/** The sections of a file. */
class Sections {
  readonly #source: SnapshotSource

  constructor(source: SnapshotSource) {
    this.#source = source
  }

  async #head(offset: number): Promise<SectionHead | undefined> {
    return decodeHead(await this.#source.read(offset, SECTION_BYTES))
  }

  /** Reads the contents of a section. @throws RecordingError `ERR_DAMAGED`, saying where */
  async read({ name, offset }: IndexEntry): Promise<Uint8Array> {
    const head = await this.#head(offset)
    if (head?.name !== name || ((name === 'PAGE' || name === 'DIFF') && head.bytes > MOST_PAGES_BYTES))
      throw damagedAt(offset)
    const data = await this.#source.read(offset + SECTION_BYTES, head.stored)
    if (data.length < head.stored || crc32(data) !== head.checksum) throw damagedAt(offset)
    if (head.bytes === 0) return data
    const bytes = await inflate(data, head.bytes)
    if (bytes === undefined) throw damagedAt(offset)
    return bytes
  }

  /** The index of a file that was ended; undefined: it was cut. */
  async index(): Promise<RecordingIndex | undefined> {
    const end = this.#source.bytes - SECTION_BYTES - FOOTER_BYTES
    if (end < HEADER_BYTES) return undefined
    if ((await this.#head(end))?.name !== 'END ') return undefined
    const footer = await this.#source.read(end + SECTION_BYTES, FOOTER_BYTES)
    const offset = new DataView(footer.buffer, footer.byteOffset, FOOTER_BYTES).getFloat64(0, true)
    if (!Number.isSafeInteger(offset) || offset < 0) return undefined
    const bytes = await this.read({ name: 'INDX', offset, round: 0, instructions: 0 })
    const index = parsed(bytes, offset)
    if (!isIndex(index, end)) throw damagedAt(offset)
    return index
  }

  /** The whole sections that a file which was cut has. */
  async scan(): Promise<IndexEntry[]> {
    const found: IndexEntry[] = []
    for (let offset = HEADER_BYTES; ;) {
      // oxlint-disable-next-line no-await-in-loop -- each says where the next one is
      const head = await this.#head(offset)
      const next = offset + SECTION_BYTES + (head?.stored ?? 0)
      if (head === undefined || next > this.#source.bytes) return found
      const { name, round, instructions } = head
      found.push({ name: name as SectionName, offset, round, instructions })
      offset = next
    }
  }
}

function parsed(bytes: Uint8Array, offset: number): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    throw damagedAt(offset)
  }
}

const damagedAt = (offset: number): RecordingError =>
  new RecordingError('ERR_DAMAGED', `the recording is damaged at byte ${offset}`)
