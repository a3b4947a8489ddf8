import { crc32, type SnapshotSource } from '@retrap/snapshot'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { cutAt, RecordingError } from './errors.ts'
import { decodeHead, FOOTER_BYTES, HEADER_BYTES, SECTION_BYTES, type SectionHead, type SectionName } from './format.ts'
import { type IndexEntry, isIndex, type RecordingIndex } from './recording-index.ts'

/** The sections of a file. */
export class Sections {
  readonly #source: SnapshotSource
  readonly #codec = new Codec()

  constructor(source: SnapshotSource) {
    this.#source = source
  }

  /** Bytes of the file. */
  get bytes(): number {
    return this.#source.bytes
  }

  async #head(offset: number): Promise<SectionHead | undefined> {
    return decodeHead(await this.#source.read(offset, SECTION_BYTES))
  }

  /** Reads the contents of a section. @throws RecordingError `ERR_DAMAGED`, saying where */
  async read(entry: IndexEntry): Promise<Uint8Array> {
    const { bytes, data } = await this.#stored(entry)
    const found = this.#codec.decompress(data, bytes)
    if (found === undefined) throw damagedAt(entry.offset)
    return found
  }

  /** Reads a block of pages as it is in the file. @throws RecordingError `ERR_DAMAGED`, saying where */
  async readBlock(entry: IndexEntry): Promise<Uint8Array> {
    const { bytes, data } = await this.#stored(entry)
    if (bytes !== BLOCK_BYTES || data.length > 2 * BLOCK_BYTES) throw damagedAt(entry.offset)
    return data
  }

  async #stored({ name, offset }: IndexEntry): Promise<{ readonly bytes: number; readonly data: Uint8Array }> {
    const head = await this.#head(offset)
    if (offset + SECTION_BYTES + (head?.stored ?? 0) > this.bytes) throw cutAt(this.bytes)
    if (head?.name !== name) throw damagedAt(offset)
    const data = await this.#source.read(offset + SECTION_BYTES, head.stored)
    if (data.length < head.stored || crc32(data) !== head.checksum) throw damagedAt(offset)
    return { bytes: head.bytes, data }
  }

  /** Returns the index of a complete file; undefined for a cut-off one. */
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
      const head = await this.#head(offset)
      const next = offset + SECTION_BYTES + (head?.stored ?? 0)
      if (head === undefined || next > this.#source.bytes) return found
      const { name, round, instructions } = head
      found.push({ name: name as SectionName, offset, round, instructions })
      offset = next
    }
  }
}

/** The JSON of a section. @param offset - offset of the section. @throws RecordingError `ERR_DAMAGED` */
export function parsed(bytes: Uint8Array, offset: number): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    throw damagedAt(offset)
  }
}

/** @param offset - offset in the file */
export const damagedAt = (offset: number): RecordingError =>
  new RecordingError('ERR_DAMAGED', `the recording is damaged at byte ${offset}`)
