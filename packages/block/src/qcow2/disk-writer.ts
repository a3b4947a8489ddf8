import { BlockError } from '@retrap/device'
import type { BlockStorage } from '../storage.ts'
import type { Codec } from './codec.ts'
import type { DiskReader } from './disk-reader.ts'
import { COPIED, ENTRY_BYTES, offsetHi, offsetLo, ZERO, compressedHi } from './format.ts'
import type { Extent, Metadata } from './metadata.ts'
import type { Allocation } from './refcounts.ts'

const UNALLOCATED = { hi: 0, lo: 0 } as const
const ZEROS = { hi: 0, lo: ZERO } as const

/** A range of the disk in consecutive clusters. */
interface Range {
  /** The first cluster. */
  readonly index: number
  readonly count: number
}

/**
 * Writes the disk. An unshared cluster is written in place. Any other cluster gets a new place in the file, which is
 * written before a table refers to it.
 */
export class DiskWriter {
  readonly #storage: BlockStorage
  readonly #metadata: Metadata
  readonly #reader: DiskReader
  readonly #bytes: number
  readonly #hasBacking: boolean
  readonly #codec: Codec
  readonly #locks = new ClusterLocks()
  readonly #compressed: CompressedSpace

  constructor(
    storage: BlockStorage,
    metadata: Metadata,
    reader: DiskReader,
    options: { readonly bytes: number; readonly hasBacking: boolean; readonly codec: Codec },
  ) {
    this.#storage = storage
    this.#metadata = metadata
    this.#reader = reader
    this.#bytes = options.bytes
    this.#hasBacking = options.hasBacking
    this.#codec = options.codec
    this.#compressed = new CompressedSpace(metadata)
  }

  get #clusterBytes(): number {
    return this.#metadata.header.clusterBytes
  }

  /** Writes `from`. */
  async write(offset: number, from: Uint8Array): Promise<void> {
    for (let done = 0; done < from.length;) {
      const at = offset + done
      const part = from.subarray(done)
      const written = await this.#writeInPlace(at, part)
      done += written > 0 ? written : await this.#writeElsewhere(at, part)
    }
  }

  /**
   * An unshared cluster never moves, so no lock is needed. A concurrent request can free it only if both write the same
   * bytes, and its place is not reused before this request has ended.
   *
   * @returns bytes written; 0 where the first cluster is not the image's own
   */
  async #writeInPlace(offset: number, from: Uint8Array): Promise<number> {
    const { kind, isOwn, host, bytes } = await this.#metadata.extent(offset, from.length)
    if (kind !== 'data' || !isOwn) return 0
    this.#refuseTables(host, bytes)
    this.#metadata.refcounts.touch(host + bytes)
    await this.#storage.write(host, from.subarray(0, bytes))
    return bytes
  }

  /** Refuses an entry of a damaged image that names a table as data, or a place beyond every file. */
  #refuseTables(host: number, bytes: number): void {
    // The format can name 2^56 bytes; no file has half of that.
    if (host + bytes > Number.MAX_SAFE_INTEGER) {
      throw new BlockError('ERR_MEDIUM', `the qcow2 image is damaged: data lies at ${host}`)
    }
    const first = host - (host % this.#clusterBytes)
    for (let at = first; at < host + bytes; at += this.#clusterBytes) {
      if (this.#metadata.isTable(at)) {
        throw new BlockError('ERR_MEDIUM', `the qcow2 image is damaged: data lies at ${at}, where a table is`)
      }
    }
  }

  /** Writes clusters to new places. @returns bytes written; 0 where the cluster has become the image's own meanwhile */
  async #writeElsewhere(offset: number, from: Uint8Array): Promise<number> {
    const index = Math.floor(offset / this.#clusterBytes)
    const clusters = Math.ceil((offset + from.length) / this.#clusterBytes) - index
    return this.#locked({ index, count: clusters }, async (range) => {
      const start = range.index * this.#clusterBytes
      const extent = await this.#metadata.extent(start, range.count * this.#clusterBytes)
      if (extent.kind === 'data' && extent.isOwn) return 0
      const place = await this.#metadata.change(() =>
        this.#metadata.refcounts.allocate(Math.min(range.count, Math.ceil(extent.bytes / this.#clusterBytes))),
      )
      const written = { index, count: place.count }
      const bytes = Math.min(from.length, start + place.count * this.#clusterBytes - offset)
      await this.#orRelease(place, async () => {
        await this.#fill(written, place, extent, { offset, from: from.subarray(0, bytes) })
        const entry = { hi: (offsetHi(place.offset) | COPIED) >>> 0, lo: offsetLo(place.offset) }
        await this.#set(written, entry)
      })
      return bytes
    })
  }

  /** Fills a new place with the given data, and with the clusters' old content around it. */
  async #fill(
    { index, count }: Range,
    place: Allocation,
    extent: Extent,
    { offset, from }: { readonly offset: number; readonly from: Uint8Array },
  ): Promise<void> {
    const start = index * this.#clusterBytes
    const end = start + count * this.#clusterBytes
    const isZero = extent.kind === 'zero' || (extent.kind === 'unallocated' && !this.#hasBacking)
    const copy = async (at: number, bytes: number): Promise<void> => {
      if (bytes === 0 || (isZero && place.isUntouched)) return
      const old = new Uint8Array(bytes)
      if (!isZero) await this.#reader.read(at, old)
      await this.#storage.write(place.offset + at - start, old)
    }
    await copy(start, offset - start)
    await this.#storage.write(place.offset + offset - start, from)
    await copy(offset + from.length, end - offset - from.length)
  }

  /** Writes one compressed cluster, if it becomes smaller and the file has no content for it yet. */
  async writeCompressed(offset: number, from: Uint8Array): Promise<void> {
    const isLast = offset + from.length === this.#bytes
    let cluster = from
    if (isLast && from.length < this.#clusterBytes) {
      cluster = new Uint8Array(this.#clusterBytes)
      cluster.set(from)
    }
    const data = cluster.length === this.#clusterBytes ? await this.#codec.deflate?.(cluster) : undefined
    // The description of its length has room for less than a cluster.
    const isSmaller = data !== undefined && data.length < this.#clusterBytes - 512
    const index = offset / this.#clusterBytes
    if (!isSmaller || this.#metadata.header.compression !== 'zlib') return this.write(offset, from)
    const written = await this.#locked({ index, count: 1 }, async (range) => {
      const place = await this.#metadata.change(() => this.#compressed.take(data.length))
      await this.#storage.write(place.offset, data)
      await this.#set(range, place)
      return data.length
    })
    if (written === 0) await this.write(offset, from)
  }

  /** Makes a range read as zeros. */
  async writeZeroes(offset: number, bytes: number): Promise<void> {
    const hasZeroClusters = this.#metadata.header.version === 3
    const entry = this.#hasBacking ? ZEROS : UNALLOCATED
    await this.#eachCluster(offset, bytes, {
      skips: (kind) => kind === 'zero' || (kind === 'unallocated' && !this.#hasBacking),
      whole: hasZeroClusters || !this.#hasBacking ? (range) => this.#setUnless(range, entry) : null,
      part: (at, length) => this.write(at, new Uint8Array(length)),
    })
  }

  /** Frees whole clusters of a range, which read as zeros afterwards. */
  async discard(offset: number, bytes: number): Promise<void> {
    // Version 2 cannot hide the backing file's data.
    if (this.#hasBacking && this.#metadata.header.version === 2) return
    const entry = this.#hasBacking ? ZEROS : UNALLOCATED
    await this.#eachCluster(offset, bytes, {
      skips: (kind) => kind === 'zero' || kind === 'unallocated',
      whole: (range) => this.#setUnless(range, entry),
      part: null,
    })
  }

  /** Frees all clusters. The file below shows afterwards. */
  async clear(): Promise<void> {
    await this.#eachCluster(0, this.#bytes, {
      skips: (kind) => kind === 'unallocated',
      whole: (range) => this.#setUnless(range, UNALLOCATED),
      part: null,
    })
  }

  /** Calls back for the whole clusters of a range and for the parts at its ends. The end of the disk ends a cluster. */
  async #eachCluster(
    offset: number,
    bytes: number,
    act: {
      readonly skips: (kind: Extent['kind']) => boolean
      readonly whole: ((range: Range) => Promise<number>) | null
      readonly part: ((at: number, bytes: number) => Promise<void>) | null
    },
  ): Promise<void> {
    const size = this.#clusterBytes
    const entries = size / ENTRY_BYTES
    const end = offset + bytes
    const lastWhole = end === this.#bytes ? Math.ceil(end / size) : Math.floor(end / size)
    for (let at = offset; at < end;) {
      const extent = await this.#metadata.extent(at, end - at)
      if (act.skips(extent.kind)) {
        // A hole in a large disk is nearly all of it.
        at += extent.bytes
        continue
      }
      const index = Math.floor(at / size)
      const isWhole = act.whole !== null && at % size === 0 && index < lastWhole
      // The clusters of one L2 table at a time.
      const count = isWhole ? Math.min(lastWhole - index, entries - (index % entries)) : 1
      const length = Math.min(end, (index + count) * size) - at
      if (isWhole) {
        for (let done = 0; done < count;) {
          done += await act.whole!({ index: index + done, count: count - done })
        }
      } else await act.part?.(at, length)
      at += length
    }
  }

  /** Sets clusters to an entry without a place. Clusters with the same entry stay unchanged. @returns how many have the entry now */
  #setUnless(wanted: Range, entry: { readonly hi: number; readonly lo: number }): Promise<number> {
    return this.#locked(wanted, async ({ index, count }) => {
      const extent = await this.#metadata.extent(index * this.#clusterBytes, count * this.#clusterBytes)
      const alike = Math.min(count, Math.ceil(extent.bytes / this.#clusterBytes))
      const kind = entry === ZEROS ? 'zero' : 'unallocated'
      if (extent.kind !== kind) await this.#set({ index, count: alike }, entry)
      return alike
    })
  }

  async #set({ index, count }: Range, entry: { readonly hi: number; readonly lo: number }): Promise<void> {
    await this.#metadata.change(() => this.#metadata.set(index, count, entry))
    this.#reader.forget()
  }

  /** Changes clusters, or the first part of them, while no other request changes them. All belong to one L2 table. */
  async #locked(wanted: Range, body: (range: Range) => Promise<number>): Promise<number> {
    const entries = this.#clusterBytes / ENTRY_BYTES
    const most = Math.min(wanted.count, entries - (wanted.index % entries))
    const { held } = this.#locks
    while (held.has(wanted.index)) await held.get(wanted.index)
    const taken = this.#locks.take(wanted.index, most)
    try {
      return await body({ index: wanted.index, count: taken.count })
    } finally {
      taken.release()
    }
  }

  /** Releases a place if its use fails. */
  async #orRelease(place: Allocation, use: () => Promise<void>): Promise<void> {
    try {
      await use()
    } catch (error) {
      this.#metadata.release(place.offset, place.count)
      throw error
    }
  }
}

/** Clusters of the disk that requests are moving within the file. Other writes of these clusters wait. */
class ClusterLocks {
  /** Settles when a cluster may be free. Look again then. */
  readonly held: Map<number, Promise<void>> = new Map()

  /** Takes clusters from `first` on, up to the first one in use. @returns how many, and a function that releases them */
  take(first: number, most: number): { readonly count: number; release(): void } {
    let count = 0
    while (count < most && !this.held.has(first + count)) count++
    const { promise: ended, resolve: settle } = Promise.withResolvers<void>()
    for (let i = 0; i < count; i++) this.held.set(first + i, ended)
    return {
      count,
      release: () => {
        for (let i = 0; i < count; i++) this.held.delete(first + i)
        settle()
      },
    }
  }
}

/** Finds room for compressed clusters: several share a cluster of the file. */
class CompressedSpace {
  readonly #metadata: Metadata
  /** Start and end of the free rest of the last cluster. */
  #at = 0
  #end = 0
  #releases = 0

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** Takes room for data that is smaller than a cluster. Call it in `Metadata.change`. */
  async take(bytes: number): Promise<{ readonly offset: number; readonly hi: number; readonly lo: number }> {
    const { clusterBytes, clusterBits } = this.#metadata.header
    const { refcounts } = this.#metadata
    // The last cluster may have become free.
    if (this.#releases !== this.#metadata.releases) this.#at = this.#end = 0
    this.#releases = this.#metadata.releases
    const shared = this.#at - (this.#at % clusterBytes)
    const canShare = this.#at < this.#end && (await refcounts.get(shared)) < refcounts.width.most
    if (!canShare) this.#at = this.#end = 0
    if (this.#at + bytes > this.#end) {
      const { offset } = await this.#metadata.refcounts.allocate(1)
      // Data continues in the next cluster if it is adjacent in the file.
      if (offset !== this.#end) this.#at = offset
      else if (this.#at < this.#end) await refcounts.add(shared, 1)
      this.#end = offset + clusterBytes
    } else await refcounts.add(shared, 1)
    const offset = this.#at
    this.#at += bytes
    return { offset, hi: compressedHi(offset, bytes, clusterBits), lo: offsetLo(offset) }
  }
}
