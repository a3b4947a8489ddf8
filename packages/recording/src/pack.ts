// Several recordings that share contents: a stream of bytes in which each piece is there once, and of each recording a list of the runs
// of that stream that it consists of.
import { deflate, inflate, PAGE_BYTES, type SnapshotSource } from '@retrap/snapshot'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { RecordingError } from './errors.ts'
import {
  checkHeader,
  encodeHead,
  encodeHeader,
  HEADER_BYTES,
  isCount,
  MOST_SECTION_BYTES,
  type SectionName,
} from './format.ts'
import type { IndexEntry, RecordingIndex } from './recording-index.ts'
import { Sections } from './sections.ts'

/** Bytes of the stream that are compressed together. */
const PACKED_BYTES = 1 << 20
/** Number of decompressed blocks kept. */
const KEPT_BLOCKS = 32
/** The most that a recording has, decompressed, so that a small file cannot fill the host. */
const MOST_BYTES = 2 ** 34
const VERSION = 1

/** A section of a recording: its name, the instant of its head, and the runs that its contents are. */
type PackedSection = readonly [name: SectionName, round: number, instructions: number, runs: readonly Run[]]

/** The list of a recording. */
interface PackedList {
  readonly version: typeof VERSION
  readonly sections: readonly PackedSection[]
}

/** Packs recordings, so that equal contents are stored once. */
export class RecordingPacker {
  readonly #write: (block: Uint8Array) => unknown
  readonly #placeOf = contentPlaces()
  readonly #block = new Uint8Array(PACKED_BYTES)
  /** Bytes of the stream. */
  #length = 0

  /** @param write - takes the blocks of contents, one after the other; it may return a promise */
  constructor(write: (block: Uint8Array) => unknown) {
    this.#write = write
  }

  /**
   * Adds a recording.
   *
   * @returns its list, for {@link unpackRecording}
   * @throws RecordingError for a file that is no recording, or damaged; errors of the source, and of `write`
   */
  async add(source: SnapshotSource): Promise<Uint8Array> {
    checkHeader(await source.read(0, HEADER_BYTES))
    const file = new Sections(source)
    const sections: PackedSection[] = []
    for (const entry of await file.scan()) {
      const { name, round, instructions } = entry
      // INDX and END hold the places of the other sections, so they are made anew.
      if (name === 'END ') continue
      if (!isName(name)) throw damaged()
      const contents = await file.read(entry)
      const stored = name === 'INDX' ? encodeJson({ ...(decodeJson(contents) as object), sections: [] }) : contents
      sections.push([name, round, instructions, await this.#runs(name, stored)])
    }
    return deflated(encodeJson({ version: VERSION, sections } satisfies PackedList))
  }

  /** Writes the last block. */
  async end(): Promise<void> {
    if (this.#length % PACKED_BYTES > 0) await this.#close()
  }

  async #runs(name: SectionName, contents: Uint8Array): Promise<Run[]> {
    const runs: [number, number][] = []
    for (const piece of name === 'PAGE' || name === 'DATA' ? pagesOf(contents) : piecesOf(contents)) {
      const at = this.#placeOf(piece, this.#length)
      if (at === this.#length) await this.#append(piece)
      const last = runs.at(-1)
      if (last !== undefined && last[0] + last[1] === at) last[1] += piece.length
      else runs.push([at, piece.length])
    }
    return runs
  }

  async #append(piece: Uint8Array): Promise<void> {
    for (let from = 0; from < piece.length;) {
      const at = this.#length % PACKED_BYTES
      const part = piece.subarray(from, from + PACKED_BYTES - at)
      this.#block.set(part, at)
      this.#length += part.length
      from += part.length
      if (at + part.length === PACKED_BYTES) await this.#close()
    }
  }

  async #close(): Promise<void> {
    const used = this.#length % PACKED_BYTES || PACKED_BYTES
    this.#block.fill(0, used)
    await this.#write(await deflate(this.#block))
  }
}

/**
 * Makes the file of a packed recording once more, with all that it had.
 *
 * @param list - as `RecordingPacker.add` has returned it
 * @param readBlock - reads a block of contents by its number
 * @returns the file's bytes, piece by piece
 * @throws RecordingError `ERR_DAMAGED`; errors of `readBlock`
 */
export async function* unpackRecording(
  list: Uint8Array,
  readBlock: (number: number) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const readRuns = contentReader(readBlock)
  const codec = new Codec()
  const index: IndexEntry[] = []
  let offset = 0
  const counted = (bytes: Uint8Array): Uint8Array => {
    offset += bytes.length
    return bytes
  }
  yield counted(encodeHeader())
  for (const [name, round, instructions, runs] of sectionsOf(await inflatedList(list))) {
    const at = { round, instructions }
    const read = await readRuns(runs)
    if (name === 'PAGE' || name === 'DATA') if (read.length !== BLOCK_BYTES) throw damaged()
    const isIndex = name === 'INDX'
    const bytes = isIndex ? encodeJson({ ...(decodeJson(read) as RecordingIndex), sections: index }) : read
    const data = codec.compress(bytes)
    const entry = { name, offset, ...at }
    yield counted(encodeHead(name, data, bytes.length, at))
    yield counted(data)
    if (isIndex) {
      const footer = new Uint8Array(8)
      new DataView(footer.buffer).setFloat64(0, entry.offset, true)
      yield encodeHead('END ', footer, footer.length, at)
      yield footer
      return
    }
    index.push(entry)
  }
}

/** Returns a function that reads runs of the stream of contents, which is in blocks. */
function contentReader(
  readBlock: (number: number) => Promise<Uint8Array>,
): (runs: readonly Run[]) => Promise<Uint8Array> {
  /** The most recently used last. */
  const kept = new Map<number, Uint8Array>()
  const inflated = async (number: number): Promise<Uint8Array> => {
    const block = await inflate(await readBlock(number), PACKED_BYTES)
    if (block === undefined) throw damaged()
    if (kept.size >= KEPT_BLOCKS) kept.delete(kept.keys().next().value!)
    return block
  }
  return async (runs) => {
    const all = new Uint8Array(runs.reduce((sum, [, bytes]) => sum + bytes, 0))
    let to = 0
    for (const [begin, bytes] of runs)
      for (let at = begin; at < begin + bytes;) {
        const number = Math.floor(at / PACKED_BYTES)
        const block = kept.get(number) ?? (await inflated(number))
        kept.delete(number)
        kept.set(number, block)
        const from = at % PACKED_BYTES
        const part = block.subarray(from, from + Math.min(PACKED_BYTES - from, begin + bytes - at))
        all.set(part, to)
        to += part.length
        at += part.length
      }
    return all
  }
}

/** @throws RecordingError `ERR_DAMAGED` */
function sectionsOf(list: unknown): readonly PackedSection[] {
  const { version, sections } = (list ?? {}) as Partial<PackedList>
  if (version !== VERSION || !Array.isArray(sections)) throw damaged()
  let total = 0
  for (const section of sections as unknown[]) {
    const [name, round, instructions, runs] = Array.isArray(section) ? (section as unknown[]) : []
    if (typeof name !== 'string' || !isName(name) || !isCount(round) || !isCount(instructions)) throw damaged()
    if (!Array.isArray(runs) || !runs.every(isRun)) throw damaged()
    const bytes = runs.reduce((sum, [, length]) => sum + length, 0)
    total += bytes
    if (bytes > MOST_SECTION_BYTES || total > MOST_BYTES) throw damaged()
  }
  return sections as readonly PackedSection[]
}

const isName = (name: string): name is SectionName => NAMES.has(name)
const isRun = (value: unknown): value is Run => Array.isArray(value) && value.length === 2 && value.every(isCount)

const NAMES: ReadonlySet<string> = new Set<SectionName>([
  ...(['DESC', 'IMAG', 'LOG ', 'DATA', 'PAGE', 'STAT', 'BYTE', 'PMAP', 'INDX'] as const),
])

const LENGTH_BYTES = 4

/** Compresses bytes, behind their length. */
async function deflated(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = await deflate(bytes)
  const found = new Uint8Array(LENGTH_BYTES + packed.length)
  new DataView(found.buffer).setUint32(0, bytes.length, true)
  found.set(packed, LENGTH_BYTES)
  return found
}

/** @throws RecordingError `ERR_DAMAGED` */
async function inflatedList(list: Uint8Array): Promise<unknown> {
  if (list.length < LENGTH_BYTES) throw damaged()
  const bytes = new DataView(list.buffer, list.byteOffset, LENGTH_BYTES).getUint32(0, true)
  const text = bytes > MOST_SECTION_BYTES ? undefined : await inflate(list.subarray(LENGTH_BYTES), bytes)
  if (text === undefined) throw damaged()
  return decodeJson(text)
}

const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/** @throws RecordingError `ERR_DAMAGED` */
function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    throw damaged()
  }
}

const damaged = (): RecordingError => new RecordingError('ERR_DAMAGED', 'the packed recording is damaged')

/** A run of bytes in the stream of contents: where it begins, and how long it is. */
type Run = readonly [at: number, bytes: number]

/** Least bytes of a piece; a piece has at most a page. */
const LEAST_PIECE_BYTES = 256
/** A piece ends where this many bits are 0: after 1 KiB, about. */
const END_BITS = 10

/** A number for each byte, with bits that look random: the finalizer of MurmurHash3. */
const MIXED = Uint32Array.from({ length: 256 }, (_, byte) => {
  let x = byte + 1
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35)
  return x ^ (x >>> 16)
})

/**
 * Cuts bytes into pieces. Each end follows from the 32 bytes before it, so that equal bytes have equal pieces, whatever is in front
 * of them.
 */
function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  let begin = 0
  let mixed = 0
  for (let at = 0; at < bytes.length; at++) {
    mixed = ((mixed << 1) + MIXED[bytes[at]!]!) | 0
    const length = at + 1 - begin
    const isEnd = length >= LEAST_PIECE_BYTES && mixed >>> (32 - END_BITS) === 0
    if (!isEnd && length < PAGE_BYTES) continue
    yield bytes.subarray(begin, at + 1)
    begin = at + 1
  }
  if (begin < bytes.length) yield bytes.subarray(begin)
}

/** Cuts bytes into pages. */
function* pagesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) yield bytes.subarray(at, at + PAGE_BYTES)
}

/**
 * Returns a function that looks a piece up in the stream of contents, and remembers it: given at most a page of bytes, and the place of the
 * piece if it is new, the function returns its place.
 */
function contentPlaces(): (piece: Uint8Array, at: number) => number {
  const codec = new Codec()
  /** Places by hash and length. */
  const places = new Map<string, number>()
  return (piece, at) => {
    codec.open.fill(0, piece.length, PAGE_BYTES)
    codec.open.set(piece)
    const key = `${piece.length} ${codec.hash(0).join(' ')}`
    const known = places.get(key)
    if (known === undefined) places.set(key, at)
    return known ?? at
  }
}
