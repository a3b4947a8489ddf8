import { BlockError } from '@retrap/device'
import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, MAXIMUM_REFCOUNT_TABLE_BYTES, read64, write64 } from './format.ts'
import { type Qcow2Header, viewOf } from './header.ts'
import { RefcountWidth } from './refcount-width.ts'
import { type Table, TableCache } from './table-cache.ts'

/** Clusters of the file that were free. */
export interface Allocation {
  /** Offset of the first one in the file. */
  readonly offset: number
  readonly count: number
  /** Whether the storage was never written at this range, so that it reads as zeros. */
  readonly isUntouched: boolean
}

/** A range of the file. */
interface Range {
  readonly offset: number
  readonly bytes: number
}

const ENTRIES_IN_SECTOR = 512 / ENTRY_BYTES

/**
 * The reference counts of an image's clusters, and the search for free ones. Changes stay in memory until `writeFresh`
 * and `writeChanged`, in this order and with a flush between them.
 */
export class Refcounts {
  readonly width: RefcountWidth
  readonly #storage: BlockStorage
  readonly #clusterBytes: number
  readonly #blockEntries: number
  readonly #blocks: TableCache
  readonly #isReserved: (offset: number) => boolean
  /** Offsets of refcount blocks. */
  readonly #places = new Set<number>()
  #table: Uint8Array
  #tableOffset: number
  /** Sectors of the table that differ from the file. */
  readonly #dirtySectors = new Set<number>()
  /** The place of the table that the header still names, while it differs from `#tableOffset`. */
  #replaced: Range | null = null
  /** No cluster before this one is free. */
  #cursor = 0
  /** The storage has never held anything from this cluster on. */
  #untouched: number

  /**
   * @param table - the content of the refcount table
   * @param isReserved - whether a cluster holds a known table, and so is not free even with a count of 0
   * @throws ImageError `ERR_FORMAT` if two table entries point to one block
   */
  constructor(
    storage: BlockStorage,
    header: Qcow2Header,
    table: Uint8Array,
    { cacheBytes, isReserved }: { readonly cacheBytes: number; readonly isReserved: (offset: number) => boolean },
  ) {
    this.#storage = storage
    this.#clusterBytes = header.clusterBytes
    this.width = new RefcountWidth(header.refcountOrder)
    this.#blockEntries = this.width.entriesIn(header.clusterBytes)
    this.#blocks = new TableCache(storage, header.clusterBytes, cacheBytes)
    this.#isReserved = isReserved
    this.#table = table
    this.#tableOffset = header.refcountTableOffset
    this.#untouched = Math.ceil(storage.bytes / header.clusterBytes)
    for (let index = 0; index < this.blocks; index++) {
      const offset = this.#blockOffset(index)
      if (offset === 0) continue
      // A block with two entries would count two ranges of clusters as one.
      if (this.#places.has(offset)) {
        throw new ImageError('ERR_FORMAT', `the qcow2 image is damaged: two refcount blocks lie at ${offset}`)
      }
      this.#places.add(offset)
    }
  }

  get isFull(): boolean {
    return this.#blocks.isFull
  }

  get isDirty(): boolean {
    return this.#blocks.isDirty || this.#dirtySectors.size > 0 || this.#replaced !== null
  }

  /** The table's place, for the header. */
  get table(): Range {
    return { offset: this.#tableOffset, bytes: this.#table.length }
  }

  /** Whether a cluster of the file holds refcounts. */
  holds(offset: number): boolean {
    return (offset >= this.#tableOffset && offset < this.#tableOffset + this.#table.length) || this.#places.has(offset)
  }

  /** The count of the cluster at an offset. */
  async get(offset: number): Promise<number> {
    const cluster = offset / this.#clusterBytes
    const block = await this.#block(Math.floor(cluster / this.#blockEntries))
    return block === null ? 0 : this.width.read(block.view, cluster % this.#blockEntries)
  }

  /** Adds to the count of the cluster at an offset. A count that would fall below 0 stays 0: the image is damaged. */
  async add(offset: number, delta: number): Promise<void> {
    const cluster = Math.floor(offset / this.#clusterBytes)
    const block = await this.#block(Math.floor(cluster / this.#blockEntries))
    if (block === null) return
    const index = cluster % this.#blockEntries
    const count = Math.max(0, this.width.read(block.view, index) + delta)
    if (count > this.width.most) throw new BlockError('ERR_NO_SPACE', `cluster ${cluster} has too many references`)
    this.#set(block, index, count)
    if (count === 0) this.#cursor = Math.min(this.#cursor, cluster)
  }

  /** Sets the reference count of a cluster unconditionally, for repairs. */
  async set(offset: number, count: number): Promise<void> {
    const cluster = offset / this.#clusterBytes
    const index = Math.floor(cluster / this.#blockEntries)
    let block = await this.#block(index)
    if (block === null) {
      if (count === 0) return
      // The first free cluster of such a region is not known: a new one behind the end is.
      block = await this.#addBlock(index, this.#untouched)
    }
    this.#set(block, cluster % this.#blockEntries, Math.min(count, this.width.most))
  }

  /** Blocks that the table has room for. */
  get blocks(): number {
    return this.#table.length / ENTRY_BYTES
  }

  /** Whether there is a block for the count of a cluster. */
  isCounted(cluster: number): boolean {
    return this.#blockOffset(Math.floor(cluster / this.#blockEntries)) !== 0
  }

  /** Sets all counts of a block, if the block exists. */
  async recount(index: number, countOf: (cluster: number, present: number) => number): Promise<void> {
    const block = await this.#block(index)
    if (block === null) return
    for (let i = 0; i < this.#blockEntries; i++) {
      const present = this.width.read(block.view, i)
      const count = Math.min(countOf(index * this.#blockEntries + i, present), this.width.most)
      if (present !== count) this.#set(block, i, count)
    }
  }

  /** Starts the search after all content of the file. */
  searchFrom(cluster: number): void {
    this.#cursor = Math.max(this.#cursor, cluster)
    this.#untouched = Math.max(this.#untouched, cluster)
  }

  /**
   * Takes adjacent free clusters, at least one and at most `most`, and sets their count to 1.
   *
   * @throws BlockError `ERR_NO_SPACE`, `ERR_MEDIUM`
   */
  async allocate(most: number): Promise<Allocation> {
    for (let cluster = this.#cursor; ;) {
      const index = Math.floor(cluster / this.#blockEntries)
      const existing = await this.#block(index)
      while (existing === null && this.#isReserved(cluster * this.#clusterBytes)) cluster++
      const block = existing ?? (await this.#addBlock(Math.floor(cluster / this.#blockEntries), cluster))
      const end = (Math.floor(cluster / this.#blockEntries) + 1) * this.#blockEntries
      while (cluster < end && !this.#isFree(block, cluster)) cluster++
      if (cluster === end) continue
      let count = 0
      while (count < most && cluster + count < end && this.#isFree(block, cluster + count)) {
        this.#set(block, (cluster + count) % this.#blockEntries, 1)
        count++
      }
      this.#cursor = cluster + count
      return this.#taken(cluster, count)
    }
  }

  /** Notes that the file has content up to an offset. */
  touch(end: number): void {
    this.#untouched = Math.max(this.#untouched, Math.ceil(end / this.#clusterBytes))
  }

  #taken(cluster: number, count: number): Allocation {
    const isUntouched = cluster >= this.#untouched
    this.#untouched = Math.max(this.#untouched, cluster + count)
    return { offset: cluster * this.#clusterBytes, count, isUntouched }
  }

  #isFree(block: Table, cluster: number): boolean {
    if (this.width.read(block.view, cluster % this.#blockEntries) !== 0) return false
    const offset = cluster * this.#clusterBytes
    return !this.#isReserved(offset) && !this.holds(offset)
  }

  #set(block: Table, index: number, count: number): void {
    const at = this.width.write(block.view, index, count)
    this.#blocks.change(block, at, at + 1)
  }

  /** The refcount block with this index; null: the table has no such block. */
  #block(index: number): Promise<Table | null> {
    const offset = this.#blockOffset(index)
    return offset === 0 ? Promise.resolve(null) : this.#blocks.load(offset)
  }

  #blockOffset(index: number): number {
    const at = index * ENTRY_BYTES
    return at < this.#table.length ? read64(viewOf(this.#table), at) : 0
  }

  /** Makes a refcount block in the free cluster `cluster`, and counts that cluster: in the new block if its range has it. */
  async #addBlock(index: number, cluster: number): Promise<Table> {
    if ((index + 1) * ENTRY_BYTES > this.#table.length) await this.#grow(index)
    // The table's growth may have added this refcount block.
    const existing = await this.#block(index)
    if (existing !== null) return existing
    const block = this.#blocks.add(cluster * this.#clusterBytes)
    this.#point(index, block.offset)
    this.#taken(cluster, 1)
    if (Math.floor(cluster / this.#blockEntries) === index) this.#set(block, cluster % this.#blockEntries, 1)
    else await this.set(block.offset, 1)
    return block
  }

  #point(index: number, offset: number): void {
    write64(viewOf(this.#table), index * ENTRY_BYTES, offset)
    this.#places.add(offset)
    this.#dirtySectors.add(Math.floor(index / ENTRIES_IN_SECTOR))
  }

  /** Places a larger refcount table behind all used clusters, then refcount blocks that cover the table and themselves. */
  async #grow(index: number): Promise<void> {
    const entriesInCluster = this.#clusterBytes / ENTRY_BYTES
    const start = Math.max(this.#untouched, (this.#table.length / ENTRY_BYTES) * this.#blockEntries)
    const firstBlock = Math.floor(start / this.#blockEntries)
    let clusters = 0
    let lastBlock = Math.max(index, firstBlock)
    let isEnough = false
    while (!isEnough) {
      // Half as much again, so that the table does not grow often.
      clusters = Math.ceil(Math.ceil((lastBlock + 1) * 1.5) / entriesInCluster)
      const needed = Math.floor((start + clusters + (lastBlock - firstBlock + 1) - 1) / this.#blockEntries)
      isEnough = needed <= lastBlock
      lastBlock = Math.max(lastBlock, needed)
    }
    if (clusters * this.#clusterBytes > MAXIMUM_REFCOUNT_TABLE_BYTES) {
      throw new BlockError('ERR_NO_SPACE', 'the qcow2 image cannot grow: its refcount table has its largest size')
    }
    const grown = new Uint8Array(clusters * this.#clusterBytes)
    grown.set(this.#table)
    this.#replaced ??= { offset: this.#tableOffset, bytes: this.#table.length }
    this.#table = grown
    this.#tableOffset = start * this.#clusterBytes
    const end = start + clusters + (lastBlock - firstBlock + 1)
    for (let block = firstBlock; block <= lastBlock; block++) {
      const offset = (start + clusters + block - firstBlock) * this.#clusterBytes
      const table = this.#blocks.add(offset)
      write64(viewOf(grown), block * ENTRY_BYTES, offset)
      this.#places.add(offset)
      const from = Math.max(start, block * this.#blockEntries)
      const to = Math.min(end, (block + 1) * this.#blockEntries)
      for (let cluster = from; cluster < to; cluster++) this.#set(table, cluster % this.#blockEntries, 1)
    }
    this.#untouched = end
  }

  /**
   * Writes new blocks and a new table, to which nothing in the file refers yet.
   *
   * @returns the function to call when the writes are durable; null: nothing was to be written
   */
  async writeFresh(): Promise<(() => void) | null> {
    if (!this.#blocks.hasFresh && this.#replaced === null) return null
    const blocks = await this.#blocks.write(true)
    if (this.#replaced !== null) await this.#storage.write(this.#tableOffset, this.#table)
    return () => this.#blocks.clean(blocks)
  }

  /** Writes changed blocks and, where the table has not moved, its changed sectors. @returns a function to call once they are durable */
  async writeChanged(): Promise<() => void> {
    const blocks = await this.#blocks.write(false)
    const sectors = this.#replaced === null ? [...this.#dirtySectors] : []
    for (const sector of sectors) {
      const bytes = this.#table.subarray(sector * 512, (sector + 1) * 512)
      await this.#storage.write(this.#tableOffset + sector * 512, bytes)
    }
    return () => {
      this.#blocks.clean(blocks)
      for (const sector of sectors) this.#dirtySectors.delete(sector)
    }
  }

  /** The table's former place, while the header has to be changed. */
  get replacedTable(): Range | null {
    return this.#replaced
  }

  /** Notes that the header durably contains the table's new place. */
  tableMoved(): void {
    this.#replaced = null
    this.#dirtySectors.clear()
  }
}
