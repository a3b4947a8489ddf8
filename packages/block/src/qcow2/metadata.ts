import * as format from './format.ts'
import { BlockError } from '@retrap/device'
import type { BlockStorage } from '../storage.ts'
import { COMPRESSED, COPIED, ENTRY_BYTES, offsetHi, offsetLo, offsetOf, ZERO } from './format.ts'
import { type Qcow2Header, viewOf } from './header.ts'
import type { Refcounts } from './refcounts.ts'
import { type Table, TableCache } from './table-cache.ts'

/** A range of the disk whose clusters have the same kind of entry. */
export interface Extent {
  readonly kind: 'data' | 'zero' | 'unallocated' | 'compressed'
  readonly bytes: number
  /** Offset of the first byte in the file; -1 unless `data`. */
  readonly host: number
  /** Whether no snapshot shares the clusters, so that they may be written in place. */
  readonly isOwn: boolean
  /** The entry, for `compressed`. */
  readonly hi: number
  readonly lo: number
}

/** Clusters whose reference count is lowered when the file no longer refers to them. */
interface Release {
  readonly offset: number
  readonly clusters: number
  /** Requests up to this number may still use the clusters. */
  readonly stamp: number
}

/** Number of released ranges at which the tables are written. */
const MOST_RELEASES = 65_536

const NO_FIELDS = { host: -1, isOwn: false, hi: 0, lo: 0 } as const

/**
 * The tables of an open image. Changes are made in memory; {@link Metadata.commit} writes them in an order in which the
 * file is always consistent: refcounts and new tables first, then references to them, then refcounts of freed clusters.
 */
export class Metadata {
  readonly header: Qcow2Header
  readonly #storage: BlockStorage
  readonly #mutex = new Mutex()
  readonly #l1: Uint8Array
  readonly #l1View: DataView
  readonly #l1Offset: number
  readonly #l2: TableCache
  readonly #l2Entries: number
  readonly #refcounts: Refcounts | null
  #l1From = 0
  #l1To = 0
  #released: Release[] = []
  /** Numbers of pending requests, in order. */
  readonly active: Set<number> = new Set()
  #lastRequest = 0
  /** Number of releases so far. */
  #releases = 0

  /** @param refcounts - null for an image that is only read */
  constructor(
    storage: BlockStorage,
    header: Qcow2Header,
    l1: { readonly bytes: Uint8Array; readonly offset: number },
    refcounts: Refcounts | null,
    cacheBytes: number,
  ) {
    this.#storage = storage
    this.header = header
    this.#l1 = l1.bytes
    this.#l1View = viewOf(l1.bytes)
    this.#l1Offset = l1.offset
    this.#refcounts = refcounts
    this.#l2 = new TableCache(storage, header.clusterBytes, cacheBytes)
    this.#l2Entries = header.clusterBytes / ENTRY_BYTES
  }

  /** Counts of the image. Only images that can be written have them in memory. */
  get refcounts(): Refcounts {
    if (this.#refcounts === null) throw new BlockError('ERR_READ_ONLY', 'the image cannot be written')
    return this.#refcounts
  }

  /** Changes whenever clusters are released. */
  get releases(): number {
    return this.#releases
  }

  /** Begins a request. @returns its number, for `end` */
  begin(): number {
    this.active.add(++this.#lastRequest)
    return this.#lastRequest
  }

  /** Runs an exclusive change of the tables. Deferred changes are written first if they are many. */
  change<T>(body: () => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      const isFull = this.#l2.isFull || this.refcounts.isFull || this.#released.length > MOST_RELEASES
      if (isFull) await this.#commit()
      return body()
    })
  }

  /** Makes all changes and all data durable. */
  commit(): Promise<void> {
    return this.#mutex.run(() => this.#commit())
  }

  /** Returns the extent that holds an offset of the disk, of `most` bytes at most. @throws BlockError `ERR_MEDIUM` */
  async extent(offset: number, most: number): Promise<Extent> {
    const { clusterBytes } = this.header
    const index = Math.floor(offset / clusterBytes)
    let inTable = Math.floor(index / this.#l2Entries)
    const l2Offset = this.#l2Offset(inTable)
    if (l2Offset === 0) {
      do inTable++
      while (inTable * 8 < this.#l1.length && this.#l2Offset(inTable) === 0)
      const end = inTable * this.#l2Entries * clusterBytes
      return { kind: 'unallocated', bytes: Math.min(most, end - offset), ...NO_FIELDS }
    }
    const table = this.#l2.peek(l2Offset) ?? (await this.#l2.load(l2Offset))
    return this.#extentIn(table, offset, most)
  }

  #extentIn({ view }: Table, offset: number, most: number): Extent {
    const { clusterBytes } = this.header
    const first = Math.floor(offset / clusterBytes) % this.#l2Entries
    const within = offset % clusterBytes
    const hi = view.getUint32(first * ENTRY_BYTES)
    const lo = view.getUint32(first * ENTRY_BYTES + 4)
    const kind = kindOf(hi, lo)
    if (kind === 'compressed') {
      return { kind, bytes: Math.min(most, clusterBytes - within), host: -1, isOwn: false, hi, lo }
    }
    const host = offsetOf(hi, lo)
    const isOwn = hi >>> 31 === 1
    if (host % clusterBytes !== 0 || (kind === 'zero' && this.header.version === 2)) {
      throw new BlockError('ERR_MEDIUM', `the qcow2 image is damaged: the entry of byte ${offset} is wrong`)
    }
    let clusters = 1
    for (; first + clusters < this.#l2Entries && clusters * clusterBytes - within < most; clusters++) {
      const at = (first + clusters) * ENTRY_BYTES
      const nextHi = view.getUint32(at)
      const nextLo = view.getUint32(at + 4)
      if (kindOf(nextHi, nextLo) !== kind) break
      if (kind !== 'data') continue
      if (nextHi >>> 31 !== hi >>> 31 || offsetOf(nextHi, nextLo) !== host + clusters * clusterBytes) break
    }
    const bytes = Math.min(most, clusters * clusterBytes - within)
    return kind === 'data' ? { kind, bytes, host: host + within, isOwn, hi: 0, lo: 0 } : { kind, bytes, ...NO_FIELDS }
  }

  #l2Offset(index: number): number {
    const at = index * ENTRY_BYTES
    return at < this.#l1.length ? offsetOf(this.#l1View.getUint32(at), this.#l1View.getUint32(at + 4)) : 0
  }

  /** Whether a cluster of the file holds a table. Data is not written to such a cluster, even if an L2 entry points to it. */
  isTable(offset: number): boolean {
    return this.isReserved(offset) || this.refcounts.holds(offset) || this.#l2.tables.has(offset)
  }

  /** Whether a cluster of the file holds the header or the L1 table. */
  isReserved(offset: number): boolean {
    return offset === 0 || (offset >= this.#l1Offset && offset < this.#l1Offset + this.#l1.length)
  }

  /** Gives clusters back that no table refers to any more, as soon as the file says so too. */
  release(offset: number, clusters: number): void {
    this.#releases++
    const last = this.#released.at(-1)
    const end = last === undefined ? -1 : last.offset + last.clusters * this.header.clusterBytes
    if (last !== undefined && end === offset && last.stamp === this.#lastRequest) {
      this.#released[this.#released.length - 1] = { ...last, clusters: last.clusters + clusters }
    } else this.#released.push({ offset, clusters, stamp: this.#lastRequest })
  }

  /**
   * Sets entries of consecutive clusters in one L2 table, and releases the clusters of the old entries. Call this
   * within `change`.
   *
   * @param entry - entry of the first cluster; if it has a host offset, the offsets of later entries increase
   */
  async set(index: number, count: number, entry: { readonly hi: number; readonly lo: number }): Promise<void> {
    const table = await this.#writableTable(Math.floor(index / this.#l2Entries))
    const first = index % this.#l2Entries
    const host = offsetOf(entry.hi, entry.lo)
    const hasHost = host !== 0 && (entry.hi & COMPRESSED) === 0
    for (let i = 0; i < count; i++) {
      const at = (first + i) * ENTRY_BYTES
      this.#releaseEntry(table.view.getUint32(at), table.view.getUint32(at + 4))
      const offset = host + i * this.header.clusterBytes
      table.view.setUint32(at, hasHost ? (offsetHi(offset) | COPIED) >>> 0 : entry.hi)
      table.view.setUint32(at + 4, hasHost ? offsetLo(offset) : entry.lo)
    }
    this.#l2.change(table, first * ENTRY_BYTES, (first + count) * ENTRY_BYTES)
  }

  #releaseEntry(hi: number, lo: number): void {
    const { clusterBytes, clusterBits } = this.header
    if ((hi & COMPRESSED) !== 0) {
      const { offset, bytes } = format.compressedPlace(hi, lo, clusterBits)
      const first = Math.floor(offset / clusterBytes)
      this.release(first * clusterBytes, Math.floor((offset + bytes - 1) / clusterBytes) - first + 1)
    } else if (offsetOf(hi, lo) !== 0) this.release(offsetOf(hi, lo), 1)
  }

  /** An L2 table without other references: the present one, a copy, or a new one. */
  async #writableTable(index: number): Promise<Table> {
    const offset = this.#l2Offset(index)
    const isOwn = this.#l1[index * ENTRY_BYTES]! >= 0x80
    if (offset !== 0 && isOwn) return this.#l2.load(offset)
    const old = offset === 0 ? null : await this.#l2.load(offset)
    const place = await this.refcounts.allocate(1)
    const table = this.#l2.add(place.offset)
    if (old !== null) {
      table.bytes.set(old.bytes)
      this.release(offset, 1)
    }
    const at = index * ENTRY_BYTES
    this.#l1View.setUint32(at, (offsetHi(place.offset) | COPIED) >>> 0)
    this.#l1View.setUint32(at + 4, offsetLo(place.offset))
    this.#l1Changed(at)
    return table
  }

  /** Sets the marks of tables and clusters that may be written in place by their counts. Entries that are invalid stay. */
  async correctOwn(): Promise<void> {
    const seen = new Set<number>()
    for (let at = 0; at < this.#l1.length; at += ENTRY_BYTES) {
      const offset = offsetOf(this.#l1View.getUint32(at), this.#l1View.getUint32(at + 4))
      if (offset === 0 || offset % this.header.clusterBytes !== 0 || offset >= this.#storage.bytes) continue
      if (seen.has(offset)) continue
      seen.add(offset)
      await this.change(async () => {
        if (await this.#correctEntry(this.#l1View, at, offset)) this.#l1Changed(at)
        const table = await this.#l2.load(offset)
        for (let entry = 0; entry < this.header.clusterBytes; entry += ENTRY_BYTES) {
          const hi = table.view.getUint32(entry)
          const host = (hi & COMPRESSED) === 0 ? offsetOf(hi, table.view.getUint32(entry + 4)) : 0
          if (host === 0 || host % this.header.clusterBytes !== 0) continue
          if (await this.#correctEntry(table.view, entry, host)) this.#l2.change(table, entry, entry + ENTRY_BYTES)
        }
      })
    }
  }

  async #correctEntry(table: DataView, at: number, offset: number): Promise<boolean> {
    const isOwn = (await this.refcounts.get(offset)) === 1
    const hi = table.getUint32(at)
    const wanted = isOwn ? (hi | COPIED) >>> 0 : hi & ~COPIED
    if (hi === wanted) return false
    table.setUint32(at, wanted)
    return true
  }

  #l1Changed(at: number): void {
    this.#l1From = this.#l1To === 0 ? at : Math.min(this.#l1From, at)
    this.#l1To = Math.max(this.#l1To, at + ENTRY_BYTES)
  }

  async #commit(): Promise<void> {
    if (this.#refcounts === null) return
    await this.#commitCounts(this.#refcounts)
    if (this.#l2.isDirty || this.#l1To > 0) {
      const changed = await this.#l2.write(false)
      const from = Math.floor(this.#l1From / 512) * 512
      const to = Math.min(this.#l1.length, Math.ceil(this.#l1To / 512) * 512)
      if (to > 0) await this.#storage.write(this.#l1Offset + from, this.#l1.subarray(from, to))
      await this.#storage.flush()
      this.#l2.clean(changed)
      this.#l1From = this.#l1To = 0
    }
    await this.#applyReleases(this.#refcounts)
  }

  /** Makes counts and new tables durable, together with all written data. */
  async #commitCounts(refcounts: Refcounts): Promise<void> {
    // A block is durable before the table of blocks refers to it.
    const fresh = await refcounts.writeFresh()
    if (fresh !== null) {
      await this.#storage.flush()
      fresh()
    }
    const changed = await refcounts.writeChanged()
    const tables = await this.#l2.write(true)
    const replaced = refcounts.replacedTable
    if (replaced !== null) await this.#writeTablePlace(refcounts)
    await this.#storage.flush()
    changed()
    this.#l2.clean(tables)
    if (replaced === null) return
    refcounts.tableMoved()
    this.release(replaced.offset, replaced.bytes / this.header.clusterBytes)
  }

  /** The header's fields of the refcount table lie in one sector. */
  async #writeTablePlace({ table }: Refcounts): Promise<void> {
    const fields = new Uint8Array(12)
    format.write64(viewOf(fields), 0, table.offset)
    viewOf(fields).setUint32(8, table.bytes / this.header.clusterBytes)
    await this.#storage.write(format.HEADER_REFCOUNT_TABLE, fields)
  }

  /** Lowers the counts of clusters that neither the file nor a request uses any more. The file learns it at the next commit. */
  async #applyReleases(refcounts: Refcounts): Promise<void> {
    const [oldest = Infinity] = this.active
    const due = this.#released
    this.#released = due.filter(({ stamp }) => stamp >= oldest)
    for (const { offset, clusters, stamp } of due) {
      if (stamp >= oldest) continue
      for (let i = 0; i < clusters; i++) {
        const cluster = offset + i * this.header.clusterBytes
        await refcounts.add(cluster, -1)
        this.#l2.drop(cluster)
      }
    }
  }

  /** Whether changes are still to be written. */
  get isDirty(): boolean {
    return this.#l2.isDirty || this.#l1To > 0 || this.#released.length > 0 || (this.#refcounts?.isDirty ?? false)
  }
}

function kindOf(hi: number, lo: number): Extent['kind'] {
  if ((hi & COMPRESSED) !== 0) return 'compressed'
  if ((lo & ZERO) !== 0) return 'zero'
  return offsetOf(hi, lo) === 0 ? 'unallocated' : 'data'
}

/** Runs one body at a time, in the order of the calls. */
class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `body` after all earlier ones. */
  run<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body)
    this.#last = result.catch(() => {})
    return result
  }
}
