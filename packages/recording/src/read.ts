import { decodeState, PAGE_BYTES, type SnapshotSource } from '@retrap/snapshot'
import type { StoredCheckpoint } from './checkpoint-store.ts'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { type DirtyPages, nonZero, putOver } from './dirty-pages.ts'
import { cutAt, RecordingError } from './errors.ts'
import { decodeEvents, type EventBody, type RecordedEvent } from './events.ts'
import { checkHeader, HEADER_BYTES, type Instant, type SectionName } from './format.ts'
import { PAGES_A_BLOCK, ZEROS } from './page-store.ts'
import type { IndexEntry, RecordingEnd, RecordingIndex, RecordingMark } from './recording-index.ts'
import { damagedAt, parsed, Sections } from './sections.ts'

/** Frames of the largest map: 4 GiB, and ROM. */
const MOST_FRAMES = 2 ** 20 + 2 ** 16
/** Frames of the maps that are kept. */
const MOST_MAPPED = 4 * MOST_FRAMES

/** A recording that can be read from any section on. */
export class Recording {
  /** The writer's description of the machine. */
  readonly description: unknown
  /** End of the recording: for a cut-off one, the last known instant. */
  readonly end: RecordingEnd
  /** Named instants, in order. */
  readonly marks: readonly RecordingMark[]
  /** The file was cut: the writer did not end it. */
  readonly isCut: boolean
  /** Number of the first piece of the log that was not dropped. */
  readonly firstPiece: number
  readonly #file: Sections
  readonly #log: readonly IndexEntry[]
  readonly #checkpoints: readonly CheckpointEntry[]
  readonly #images: readonly IndexEntry[]
  /** Pages of checkpoints, and of event bodies. */
  readonly #pages: FileBlocks
  readonly #bodies: FileBlocks
  /** Maps of checkpoints read so far. */
  readonly #maps = new Map<number, CheckpointMap>()
  #mapped = 0

  private constructor(file: Sections, description: unknown, index: RecordingIndex, isCut: boolean) {
    this.#file = file
    this.description = description
    this.end = index.end
    this.marks = index.marks
    this.isCut = isCut
    const { pieces, blocks: missing } = index.missing ?? { pieces: 0, blocks: 0 }
    this.firstPiece = pieces
    this.#log = index.sections.filter(({ name }) => name === 'LOG ')
    this.#checkpoints = checkpointsOf(index.sections)
    this.#images = index.sections.filter(({ name }) => name === 'IMAG')
    const named = (wanted: SectionName): IndexEntry[] => index.sections.filter(({ name }) => name === wanted)
    this.#pages = new FileBlocks(file, named('PAGE'))
    this.#bodies = new FileBlocks(file, named('DATA'), missing)
  }

  /** @internal Use {@link openRecording}. */
  static async open(source: SnapshotSource, known?: RecordingIndex): Promise<Recording> {
    checkHeader(await source.read(0, HEADER_BYTES))
    const file = new Sections(source)
    const about = await file.read({ name: 'DESC', offset: HEADER_BYTES, round: 0, instructions: 0 })
    const description = parsed(about, HEADER_BYTES)
    const index = known ?? (await file.index())
    return new Recording(file, description, index ?? (await lookThrough(file)), index === undefined)
  }

  /** Instants of checkpoints, in order. */
  get checkpoints(): readonly Instant[] {
    return this.#checkpoints.map(({ state: { round, instructions } }) => ({ round, instructions }))
  }

  /** Number of images in the file. */
  get images(): number {
    return this.#images.length
  }

  /** Reads an image, by its number in order of addition. @throws RecordingError `ERR_STATE` for an unknown number, `ERR_DAMAGED` */
  image(number: number): Promise<Uint8Array> {
    const entry = this.#images[number]
    if (entry === undefined && this.isCut) throw cutAt(this.#file.bytes, "the machine's files are missing")
    if (entry === undefined) throw new RecordingError('ERR_STATE', `there is no image ${number}`)
    return this.#file.read(entry)
  }

  /** Number of pieces of the log, including dropped ones. */
  get pieces(): number {
    return this.firstPiece + this.#log.length
  }

  /** The first piece of the log that may have events at or after a round. */
  pieceAt(round: number): number {
    const next = this.#log.findIndex((piece) => piece.round >= round)
    return this.firstPiece + Math.max(0, (next < 0 ? this.#log.length : next) - 1)
  }

  /** Reads the events of a piece of the log. @throws RecordingError `ERR_STATE` for a missing piece, `ERR_DAMAGED` */
  async events(piece: number): Promise<readonly RecordedEvent[]> {
    const entry = this.#log[piece - this.firstPiece]
    if (entry === undefined)
      throw new RecordingError('ERR_STATE', `piece ${piece}: expected ${this.firstPiece} to ${this.pieces - 1}`)
    return decodeEvents(await this.#file.read(entry), entry)
  }

  /**
   * Reads the body of an event.
   *
   * @param into - buffer with the body's length
   * @throws RecordingError `ERR_STATE` for another length, `ERR_DAMAGED`
   */
  async readBody(body: EventBody, into: Uint8Array): Promise<void> {
    const { bytes, runs } = body
    if (into.length !== bytes) throw new RecordingError('ERR_STATE', `it has ${bytes} bytes: expected ${into.length}`)
    let at = 0
    for (let i = 0; i < runs.length; i += 2) {
      const [first, count] = [runs[i]!, runs[i + 1]!]
      const end = Math.min(at + count * PAGE_BYTES, bytes)
      if (first === ZEROS) into.fill(0, at, end)
      for (let page = first; page > ZEROS && page < first + count; page++) {
        const contents = await this.#bodies.page(page)
        const from = at + (page - first) * PAGE_BYTES
        into.set(contents.subarray(0, Math.min(PAGE_BYTES, bytes - from)), from)
      }
      at = end
    }
  }

  /**
   * Reads a checkpoint, with all of memory. Its pages are decompressed on demand.
   *
   * @param mostPages - the machine's number of pages; a file with more is damaged, and is read no further. Default: no limit
   * @throws RecordingError `ERR_DAMAGED`
   */
  async checkpoint(number: number, mostPages: number = Infinity): Promise<FileCheckpoint> {
    const entry = this.#checkpoints[number]
    if (entry === undefined) throw new RecordingError('ERR_STATE', `there is no checkpoint ${number}`)
    const text = new TextDecoder().decode(await this.#file.read(entry.state))
    const state = decodeState({ text, bytes: await this.#file.read(entry.bytes) })
    const all = new Map<number, number>()
    for (let at = 0; at <= number; at++) {
      putOver(all, (await this.#mapOf(at)).written)
      if (all.size > mostPages) throw damagedAt(this.#checkpoints[at]!.map.offset)
    }
    const { gfns, pages } = nonZero(all)
    const blocks = await this.#pages.read(pages)
    return {
      state,
      gfns,
      contents: (index) => this.#pages.contents(pages[index]!, blocks),
      identity: (index) => pages[index]!,
      source: this,
    }
  }

  /** Returns the frames that were written between a checkpoint and its predecessor. */
  async #mapOf(number: number): Promise<CheckpointMap> {
    const known = this.#maps.get(number)
    if (known !== undefined) return known
    const { map } = this.#checkpoints[number]!
    const found = decodeMap(await this.#file.read(map), this.#pages.count)
    if (found === undefined) throw damagedAt(map.offset)
    this.#mapped += found.written.gfns.length
    if (this.#mapped > MOST_MAPPED) {
      this.#maps.clear()
      this.#mapped = found.written.gfns.length
    }
    this.#maps.set(number, found)
    return found
  }

  /**
   * Whether some frames may have been written between the checkpoint before and this one.
   *
   * @throws RecordingError `ERR_DAMAGED`
   */
  async wasWritten(number: number, gfns: readonly number[]): Promise<boolean> {
    const { written, isCompared } = await this.#mapOf(number)
    return isCompared || gfns.some((gfn) => written.gfns.includes(gfn))
  }
}

/** A checkpoint of a file, with all of memory. Reading damaged contents throws RecordingError `ERR_DAMAGED`. */
export interface FileCheckpoint extends Omit<StoredCheckpoint<unknown>, keyof Instant | 'extra'> {}

/** The frames of a checkpoint in a file. */
interface CheckpointMap {
  readonly written: DirtyPages
  readonly isCompared: boolean
}

/** @param mostPages - of the file. @returns undefined for a map that no writer has written */
function decodeMap(bytes: Uint8Array, mostPages: number): CheckpointMap | undefined {
  if (bytes.length % 8 !== 4 || bytes.length > 4 + 8 * MOST_FRAMES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isCompared = view.getUint32(0, true)
  if (isCompared > 1) return undefined
  const count = (bytes.length - 4) / 8
  const written = { gfns: new Uint32Array(count), pages: new Uint32Array(count) }
  for (let i = 0; i < count; i++) {
    const gfn = (written.gfns[i] = view.getUint32(4 + 8 * i, true))
    const page = (written.pages[i] = view.getUint32(8 + 8 * i, true))
    if (page > mostPages || (i > 0 && gfn <= written.gfns[i - 1]!)) return undefined
  }
  return { written, isCompared: isCompared === 1 }
}

interface CheckpointEntry {
  readonly state: IndexEntry
  readonly bytes: IndexEntry
  readonly map: IndexEntry
}

/** A checkpoint that was cut is none. @param sections - in the order of the file */
function checkpointsOf(sections: readonly IndexEntry[]): CheckpointEntry[] {
  const found: CheckpointEntry[] = []
  for (let i = 0; i < sections.length; i++) {
    const [state, bytes, map] = [sections[i]!, sections[i + 1], sections[i + 2]]
    if (state.name !== 'STAT' || bytes?.name !== 'BYTE' || map?.name !== 'PMAP') continue
    const last = found.at(-1)?.state
    // Each delta holds the frames written since the previous checkpoint, so instants must ascend.
    if (last !== undefined && (state.instructions <= last.instructions || state.round < last.round))
      throw damagedAt(state.offset)
    found.push({ state, bytes, map })
  }
  return found
}

/**
 * Opens a recording. A file with an index is opened by the index; a cut-off one is scanned, section by section.
 *
 * @param index - index of a recording that is still being written, from its `RecordingWriter`
 * @throws RecordingError `ERR_NOT_A_RECORDING`, `ERR_VERSION`, `ERR_DAMAGED`; errors of the source
 */
export const openRecording = (source: SnapshotSource, index?: RecordingIndex): Promise<Recording> =>
  Recording.open(source, index)

/** Reads a cut file: its sections, and the marks and the end in their events. */
async function lookThrough(file: Sections): Promise<RecordingIndex> {
  const sections = await file.scan()
  const marks: RecordingMark[] = []
  let end: Instant = { round: 0, instructions: 0 }
  for (const entry of sections) {
    if (entry.name !== 'LOG ') continue
    for (const event of decodeEvents(await file.read(entry), entry)) {
      end = { round: event.round, instructions: event.instructions }
      if (event.kind === 'mark') marks.push({ ...end, name: new TextDecoder().decode(event.data) })
    }
  }
  return { sections, marks, end }
}

/** Number of decompressed blocks kept. */
const KEPT_BLOCKS = 64
/** Bytes of blocks that are kept from one look to the next, compressed. */
const MOST_PACKED_BYTES = 96 * 2 ** 20

/** Pages that a file has in blocks of 16, numbered from 1 on. */
class FileBlocks {
  readonly #file: Sections
  readonly #entries: readonly IndexEntry[]
  /** Blocks that the file lacks in front. */
  readonly #missing: number
  readonly #codec = new Codec()
  /** Compressed blocks by number. */
  readonly #packed = new Map<number, Uint8Array>()
  #packedBytes = 0
  /** Decompressed blocks, the most recently used last. */
  readonly #plain = new Map<number, Uint8Array>()

  /**
   * @param entries - places of its blocks
   * @param missing - number of blocks dropped from the front
   */
  constructor(file: Sections, entries: readonly IndexEntry[], missing = 0) {
    this.#file = file
    this.#entries = entries
    this.#missing = missing
  }

  /** The number of the last page. */
  get count(): number {
    return (this.#missing + this.#entries.length) * PAGES_A_BLOCK
  }

  /** Reads the blocks that have pages, as far as they are not in memory. @throws RecordingError `ERR_DAMAGED` */
  async read(pages: Iterable<number>): Promise<ReadonlyMap<number, Uint8Array>> {
    const wanted = new Set<number>()
    for (const page of pages) wanted.add(this.#blockOf(page))
    if (this.#packedBytes > MOST_PACKED_BYTES) {
      this.#packed.clear()
      this.#packedBytes = 0
    }
    const found = new Map<number, Uint8Array>()
    let bytesFound = 0
    for (const block of [...wanted].sort((a, b) => a - b)) {
      const entry = this.#entries[block]!
      const bytes = this.#packed.get(block) ?? (await this.#file.readBlock(entry))
      found.set(block, bytes)
      bytesFound += bytes.length
      // Overlapping sections.
      if (bytesFound > this.#file.bytes) throw damagedAt(entry.offset)
      if (this.#packed.has(block)) continue
      this.#packed.set(block, bytes)
      this.#packedBytes += bytes.length
    }
    return found
  }

  /**
   * Returns the contents of a page, which are not to be written.
   *
   * @param blocks - blocks read for the page
   * @throws RecordingError `ERR_DAMAGED`
   */
  contents(page: number, blocks: ReadonlyMap<number, Uint8Array>): Uint8Array {
    const block = this.#blockOf(page)
    let plain = this.#plain.get(block)
    if (plain === undefined) {
      plain = this.#codec.decompress(blocks.get(block)!, BLOCK_BYTES)
      if (plain === undefined) throw damagedAt(this.#entries[block]!.offset)
    } else this.#plain.delete(block)
    this.#plain.set(block, plain)
    if (this.#plain.size > KEPT_BLOCKS) this.#plain.delete(this.#plain.keys().next().value!)
    const from = ((page - 1) % PAGES_A_BLOCK) * PAGE_BYTES
    return plain.subarray(from, from + PAGE_BYTES)
  }

  /** Reads a page, which must not be modified. @throws RecordingError `ERR_DAMAGED`, also for a missing page */
  async page(page: number): Promise<Uint8Array> {
    if (page > this.count || this.#blockOf(page) < 0)
      throw new RecordingError('ERR_DAMAGED', `the recording is damaged: it has no page ${page}`)
    return this.contents(page, this.#plain.has(this.#blockOf(page)) ? NONE : await this.read([page]))
  }

  /** Returns the file's block with a page; negative: missing. */
  #blockOf(page: number): number {
    return Math.floor((page - 1) / PAGES_A_BLOCK) - this.#missing
  }
}

const NONE: ReadonlyMap<number, Uint8Array> = new Map()
