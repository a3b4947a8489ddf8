import { PAGE_BYTES } from '@retrap/snapshot'
import { BLOCK_BYTES, Codec } from './codec.ts'
import type { EventBody } from './events.ts'
import { HashIndex } from './hash-index.ts'
import { PAGES_A_BLOCK, ZEROS } from './page-store.ts'

/** Most pages remembered: an older page is written again. */
const MOST_KNOWN = 2 ** 19

/**
 * Writes the pages of event bodies to a file: each remembered page only once. A guest reads the same disk blocks repeatedly.
 */
export class BodyPages {
  readonly #codec = new Codec()
  readonly #write: (block: Uint8Array) => void
  readonly #mostKnown: number
  /** Pages by their hashes, numbered after those written before. */
  #known = new HashIndex()
  #before = 0
  /** Number of written blocks, and of pages in the block after them. */
  #blocks = 0
  #opened = 0

  /**
   * @param write - takes compressed blocks of 16 pages, in order; pages are numbered by their places in them, from 1 on
   * @param mostKnown - most pages remembered
   */
  constructor(write: (block: Uint8Array) => void, mostKnown: number = MOST_KNOWN) {
    this.#write = write
    this.#mostKnown = mostKnown
    this.#begin()
  }

  /** Writes waiting pages, and forgets all: later events refer only to later pages. @returns number of written blocks */
  forget(): number {
    this.close()
    this.#begin()
    return this.#blocks
  }

  /** Forgets all pages but that of zeros. */
  #begin(): void {
    this.#before = this.#blocks * PAGES_A_BLOCK + this.#opened
    this.#known = new HashIndex()
    this.#codec.open.fill(0, this.#opened * PAGE_BYTES, (this.#opened + 1) * PAGE_BYTES)
    this.#known.enter(ZEROS, this.#codec.hash(this.#opened * PAGE_BYTES))
  }

  /** Adds bytes. @returns their place */
  add(bytes: Uint8Array): EventBody {
    const runs: number[] = []
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      const page = this.#page(bytes, at)
      const [first, count] = runs.slice(-2)
      const isNext = page === ZEROS || first === ZEROS ? page === first : page === first! + count!
      if (isNext) runs[runs.length - 1]!++
      else runs.push(page, 1)
    }
    return { bytes: bytes.length, runs }
  }

  /** @returns the number of the page with these bytes, padded with zeros */
  #page(bytes: Uint8Array, at: number): number {
    const place = this.#opened * PAGE_BYTES
    const { open } = this.#codec
    const end = Math.min(at + PAGE_BYTES, bytes.length)
    open.set(bytes.subarray(at, end), place)
    if (end - at < PAGE_BYTES) open.fill(0, place + end - at, place + PAGE_BYTES)
    const hash = this.#codec.hash(place)
    const known = this.#known.find(hash)
    if (known >= 0) return known === ZEROS ? ZEROS : this.#before + known
    const page = this.#blocks * PAGES_A_BLOCK + ++this.#opened
    this.#known.enter(page - this.#before, hash)
    if (this.#opened === PAGES_A_BLOCK) this.close()
    if (page - this.#before >= this.#mostKnown) this.#begin()
    return page
  }

  /** Writes the pages that wait for others. */
  close(): void {
    if (this.#opened === 0) return
    this.#codec.open.fill(0, this.#opened * PAGE_BYTES)
    this.#write(this.#codec.compressOpen(BLOCK_BYTES))
    this.#blocks++
    this.#opened = 0
  }
}
