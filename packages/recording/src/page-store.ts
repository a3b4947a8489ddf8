import { PAGE_BYTES } from '@retrap/snapshot'
import { BLOCK_BYTES, Codec } from './codec.ts'
import { HashIndex, longer } from './hash-index.ts'

/** Pages compressed together. */
export const PAGES_A_BLOCK: number = BLOCK_BYTES / PAGE_BYTES
/** The number of the page that is zeros. */
export const ZEROS = 0
/** Blocks with fewer pages than this move them to another block. */
const FEW_PAGES = PAGES_A_BLOCK / 2
/** Number of decompressed blocks kept. */
const KEPT_BLOCKS = 64
/** The bytes of a page in memory: its hash, uses and place. */
const BYTES_A_PAGE = 32

/** Contents of pages, compressed, each once. A page is named by a number, as long as it is used. */
export class PageStore {
  readonly #codec = new Codec()
  readonly #known = new HashIndex()
  #uses = new Uint32Array(1024)
  /** Block of each page, and the position in the block. */
  #places = new Uint32Array(1024)
  /** Number of previous uses of each page's number. */
  #generations = new Uint32Array(1024)
  #pages = 0
  readonly #free: number[] = []
  /** Compressed blocks; undefined: none. */
  readonly #blocks: (Uint8Array | undefined)[] = []
  /** By block and position: the page stored at this position; 0: none. */
  #contained = new Uint32Array(1024)
  readonly #live: number[] = []
  readonly #freeBlocks: number[] = []
  /** The block under construction, and its number of pages. */
  #open = 0
  #opened = 0
  #bytes = 0
  /** Decompressed blocks, the most recently used last. */
  readonly #plain = new Map<number, Uint8Array>()

  constructor() {
    this.#beginBlock()
    // The page of zeros is in no block, and never released.
    this.#known.enter(this.#newPage(), this.#codec.hash(0))
    this.#uses[ZEROS] = 1
  }

  /** Bytes that the pages take. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Adds a page, or a use of an existing one.
   *
   * @param offset - offset of the page in the bytes
   * @returns its number
   */
  add(from: Uint8Array, offset: number): number {
    const at = this.#opened * PAGE_BYTES
    this.#codec.open.set(from.subarray(offset, offset + PAGE_BYTES), at)
    const hash = this.#codec.hash(at)
    const known = this.#known.find(hash)
    if (known >= 0) {
      this.#uses[known]!++
      return known
    }
    const page = this.#free.pop() ?? this.#newPage()
    this.#known.enter(page, hash)
    this.#uses[page] = 1
    this.#put(page)
    this.#bytes += BYTES_A_PAGE
    return page
  }

  /** Adds a use of a page. */
  use(page: number): void {
    this.#uses[page]!++
  }

  /** Takes back a use: a page without any is dropped. */
  release(page: number): void {
    if (--this.#uses[page]! > 0) return
    this.#known.forget(page)
    this.#free.push(page)
    this.#generations[page]!++
    this.#bytes -= BYTES_A_PAGE
    const place = this.#places[page]!
    const block = Math.floor(place / PAGES_A_BLOCK)
    this.#contained[place] = 0
    this.#live[block]!--
    if (block !== this.#open && this.#live[block]! < FEW_PAGES) this.#empty(block)
  }

  /** A number that no other page has, or will have. */
  identity(page: number): number {
    return this.#generations[page]! * 2 ** 32 + page
  }

  /** Returns the contents of a page, which are not to be written. */
  contents(page: number): Uint8Array {
    if (page === ZEROS) return new Uint8Array(PAGE_BYTES)
    const place = this.#places[page]!
    const from = (place % PAGES_A_BLOCK) * PAGE_BYTES
    const block = Math.floor(place / PAGES_A_BLOCK)
    // The open block changes.
    if (block === this.#open) return this.#codec.open.slice(from, from + PAGE_BYTES)
    return this.#plainBlock(block).subarray(from, from + PAGE_BYTES)
  }

  /** Returns all used blocks, compressed, for a file. Pages are numbered by their positions in these. */
  blocks(): { readonly blocks: readonly Uint8Array[]; readonly numberOf: (page: number) => number } {
    this.#closeBlock()
    this.#beginBlock()
    const numbers = new Map<number, number>()
    const blocks: Uint8Array[] = []
    for (const [number, bytes] of this.#blocks.entries()) {
      if (bytes === undefined) continue
      numbers.set(number, blocks.length)
      blocks.push(bytes)
    }
    const numberOf = (page: number): number => {
      const place = this.#places[page]!
      return numbers.get(Math.floor(place / PAGES_A_BLOCK))! * PAGES_A_BLOCK + (place % PAGES_A_BLOCK)
    }
    return { blocks, numberOf }
  }

  #newPage(): number {
    const page = this.#pages++
    if (page >= this.#uses.length) {
      this.#uses = longer(this.#uses)
      this.#places = longer(this.#places)
      this.#generations = longer(this.#generations)
    }
    return page
  }

  /** Assigns the last position of the open block to a page. */
  #put(page: number): void {
    const place = this.#open * PAGES_A_BLOCK + this.#opened++
    if (place >= this.#contained.length) this.#contained = longer(this.#contained)
    this.#contained[place] = page
    this.#places[page] = place
    this.#live[this.#open]!++
    if (this.#opened < PAGES_A_BLOCK) return
    this.#closeBlock()
    this.#beginBlock()
  }

  #beginBlock(): void {
    this.#open = this.#freeBlocks.pop() ?? this.#live.length
    this.#opened = 0
    this.#live[this.#open] = 0
    this.#blocks[this.#open] = undefined
  }

  #closeBlock(): void {
    const block = this.#open
    this.#open = -1
    if (this.#live[block] === 0) this.#freeBlocks.push(block)
    else {
      this.#codec.open.fill(0, this.#opened * PAGE_BYTES)
      const bytes = this.#codec.compressOpen(BLOCK_BYTES)
      this.#blocks[block] = bytes
      this.#bytes += bytes.length
    }
  }

  /** Moves the remaining pages of a block to the open one. */
  #empty(block: number): void {
    const plain = this.#plainBlock(block)
    for (let i = 0; i < PAGES_A_BLOCK; i++) {
      const page = this.#contained[block * PAGES_A_BLOCK + i]!
      if (page === 0) continue
      this.#codec.open.set(plain.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES), this.#opened * PAGE_BYTES)
      this.#put(page)
    }
    this.#contained.fill(0, block * PAGES_A_BLOCK, (block + 1) * PAGES_A_BLOCK)
    this.#live[block] = 0
    this.#plain.delete(block)
    this.#bytes -= this.#blocks[block]!.length
    this.#blocks[block] = undefined
    this.#freeBlocks.push(block)
  }

  #plainBlock(block: number): Uint8Array {
    const found = this.#plain.get(block) ?? this.#codec.decompress(this.#blocks[block]!, BLOCK_BYTES)!
    this.#plain.delete(block)
    this.#plain.set(block, found)
    if (this.#plain.size > KEPT_BLOCKS) this.#plain.delete(this.#plain.keys().next().value!)
    return found
  }
}
