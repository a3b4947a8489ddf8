import { PAGE_BYTES } from '@retrap/snapshot'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { RecordingError } from './errors.ts'
import { PAGES_A_BLOCK } from './page-store.ts'
import type { IndexEntry } from './recording-index.ts'
import { damagedAt, type Sections } from './sections.ts'

/** Number of decompressed blocks kept. */
const KEPT_BLOCKS = 64
/** Bytes of blocks that are kept from one look to the next, compressed. */
const MOST_PACKED_BYTES = 96 * 2 ** 20

/** Pages that a file has in blocks of 16, numbered from 1 on. */
export class FileBlocks {
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
