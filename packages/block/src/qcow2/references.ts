import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { COMPRESSED, compressedPlace, ENTRY_BYTES, offsetOf, read64, ZERO } from './format.ts'
import { type Qcow2Header, viewOf } from './header.ts'
import { readSnapshots } from './snapshots.ts'

const MOST_MESSAGES = 20

/** Collects findings; only the first ones are kept in words. */
export class Findings {
  corruptions = 0
  leaks = 0
  readonly messages: string[] = []

  corruption(text: string): void {
    this.corruptions++
    this.#say(`error: ${text}`)
  }

  leak(text: string): void {
    this.leaks++
    this.#say(`leak: ${text}`)
  }

  #say(text: string): void {
    if (this.messages.length < MOST_MESSAGES) this.messages.push(text)
  }
}

/** Number of clusters whose counts are stored together. */
const PAGE = 8192
/** Clusters below this number have pages: 256 MiB of memory in all. Few files have higher ones. */
const PAGED = 2 ** 26
const MOST_OTHERS = 2 ** 22

/** A count for each cluster of a file. Memory grows with the clusters in use, not with the file's size. */
export class ClusterCounts {
  readonly #pages = new Map<number, Uint32Array>()
  readonly #others = new Map<number, number>()

  /** @throws ImageError `ERR_UNSUPPORTED` for too many clusters of a very large file */
  add(cluster: number, count: number): void {
    if (cluster >= PAGED) {
      if (this.#others.size >= MOST_OTHERS) throw new ImageError('ERR_UNSUPPORTED', 'the image is too large to check')
      this.#others.set(cluster, this.get(cluster) + count)
      return
    }
    const key = Math.floor(cluster / PAGE)
    let page = this.#pages.get(key)
    if (page === undefined) this.#pages.set(key, (page = new Uint32Array(PAGE)))
    page[cluster % PAGE]! += count
  }

  get(cluster: number): number {
    if (cluster >= PAGED) return this.#others.get(cluster) ?? 0
    return this.#pages.get(Math.floor(cluster / PAGE))?.[cluster % PAGE] ?? 0
  }

  /** The clusters with a count above 0. */
  *clusters(): Generator<number> {
    for (const [key, page] of this.#pages) {
      for (let i = 0; i < PAGE; i++) if (page[i]! > 0) yield key * PAGE + i
    }
    yield* this.#others.keys()
  }
}

/** Number of references to each cluster of a file. */
export class References extends ClusterCounts {
  /** Clusters of the disk that are in the file. */
  allocated = 0
  compressed = 0
}

/** Counts the references to each cluster: by the header, all tables, all snapshots and bitmaps. */
export async function countReferences(
  storage: BlockStorage,
  header: Qcow2Header,
  findings: Findings,
): Promise<References> {
  const references = new References()
  const count = (offset: number, bytes: number, times = 1): void => {
    // The last cluster of a file may be cut short. Bytes behind it were never written: a repair would count up to their end.
    if (offset + bytes - storage.bytes >= header.clusterBytes) {
      findings.corruption(`${bytes} bytes at ${offset} are behind the end of the file`)
      return
    }
    const first = Math.floor(offset / header.clusterBytes)
    const last = Math.floor((offset + Math.max(1, bytes) - 1) / header.clusterBytes)
    for (let cluster = first; cluster <= last; cluster++) references.add(cluster, times)
  }
  const scan = new Scan(storage, header, findings, references, count)
  count(0, header.clusterBytes)
  await scan.refcountTable()
  const snapshots = header.snapshotCount === 0 ? [] : await readSnapshots(storage, header)
  // Each snapshot has its own table in the file. A shared table would be read once for each.
  const tableBytes = snapshots.reduce((sum, { l1Entries }) => sum + l1Entries * ENTRY_BYTES, 0)
  if (tableBytes > storage.bytes)
    throw new ImageError('ERR_FORMAT', 'the L1 tables of snapshots are larger than the file')
  // Each L2 table is read once, however many L1 tables refer to it.
  const tables = new Map<number, number>()
  await scan.l1(header.l1Offset, header.l1Entries, tables)
  const active = new Set(tables.keys())
  for (const { l1Offset, l1Entries } of snapshots) {
    await scan.l1(l1Offset, l1Entries, tables)
  }
  const last = snapshots.at(-1)
  if (last !== undefined) count(header.snapshotsOffset, last.end - header.snapshotsOffset)
  for (const [offset, times] of tables) {
    await scan.l2(offset, times, active.has(offset))
  }
  await scan.bitmaps()
  return references
}

/** Reads tables of an image one after another. */
class Scan {
  readonly #storage: BlockStorage
  readonly #header: Qcow2Header
  readonly #findings: Findings
  readonly #references: References
  readonly #count: (offset: number, bytes: number, times?: number) => void

  constructor(
    storage: BlockStorage,
    header: Qcow2Header,
    findings: Findings,
    references: References,
    count: (offset: number, bytes: number, times?: number) => void,
  ) {
    this.#storage = storage
    this.#header = header
    this.#findings = findings
    this.#references = references
    this.#count = count
  }

  async refcountTable(): Promise<void> {
    const { clusterBytes, refcountTableOffset, refcountTableClusters } = this.#header
    const table = new Uint8Array(refcountTableClusters * clusterBytes)
    await this.#storage.read(refcountTableOffset, table)
    this.#count(refcountTableOffset, table.length)
    for (let at = 0; at < table.length; at += ENTRY_BYTES) {
      const offset = read64(viewOf(table), at)
      if (offset === 0) continue
      if (this.#isTable(offset)) this.#count(offset, clusterBytes)
      else this.#findings.corruption(`refcount block ${at / ENTRY_BYTES} lies at ${offset}`)
    }
  }

  /** Counts the references of an L1 table, and notes how often each L2 table is referred to. */
  async l1(offset: number, entries: number, tables: Map<number, number>): Promise<void> {
    const l1 = new Uint8Array(entries * ENTRY_BYTES)
    if (entries === 0) return
    await this.#storage.read(offset, l1)
    this.#count(offset, l1.length)
    for (let at = 0; at < l1.length; at += ENTRY_BYTES) {
      const hi = viewOf(l1).getUint32(at)
      const lo = viewOf(l1).getUint32(at + 4)
      const place = offsetOf(hi, lo)
      if ((hi & 0x7f00_0000) !== 0 || (lo & 0x1ff) !== 0) {
        this.#findings.corruption(`entry ${at / ENTRY_BYTES} of the L1 table has reserved bits`)
      }
      if (place === 0) continue
      if (this.#isTable(place)) {
        this.#count(place, this.#header.clusterBytes)
        tables.set(place, (tables.get(place) ?? 0) + 1)
      } else this.#findings.corruption(`an L2 table lies at ${place}`)
    }
  }

  /** Counts the references of an L2 table that is itself referred to `times` times. */
  async l2(offset: number, times: number, isActive: boolean): Promise<void> {
    const { clusterBytes, clusterBits, version } = this.#header
    const table = new Uint8Array(clusterBytes)
    await this.#storage.read(offset, table)
    const view = viewOf(table)
    for (let at = 0; at < clusterBytes; at += ENTRY_BYTES) {
      const hi = view.getUint32(at)
      const lo = view.getUint32(at + 4)
      if (hi === 0 && lo === 0) continue
      if ((hi & COMPRESSED) !== 0) {
        const place = compressedPlace(hi, lo, clusterBits)
        if (place.offset >= this.#storage.bytes) {
          this.#findings.corruption(`compressed data lies at ${place.offset}, behind the end of the file`)
          continue
        }
        this.#count(place.offset, place.bytes, times)
        if (isActive) this.#references.compressed++
      } else {
        const host = offsetOf(hi, lo)
        if ((hi & 0x3f00_0000) !== 0 || (lo & 0x1fe) !== 0 || ((lo & ZERO) !== 0 && version === 2)) {
          this.#findings.corruption(`an entry of the L2 table at ${offset} has reserved bits`)
        }
        if (host === 0) continue
        if (host % clusterBytes !== 0 || host > Number.MAX_SAFE_INTEGER) {
          this.#findings.corruption(`a cluster lies at ${host}, which is not its boundary`)
          continue
        }
        this.#count(host, clusterBytes, times)
      }
      if (isActive) this.#references.allocated++
    }
  }

  /** Counts the clusters of an image's bitmaps. */
  async bitmaps(): Promise<void> {
    const { bitmaps, clusterBytes } = this.#header
    if (bitmaps === null || !this.#isRange(bitmaps.offset, bitmaps.bytes)) return
    this.#count(bitmaps.offset, bitmaps.bytes)
    const directory = new Uint8Array(bitmaps.bytes)
    await this.#storage.read(bitmaps.offset, directory)
    const view = viewOf(directory)
    let left = this.#storage.bytes
    for (let at = 0; at + 24 <= directory.length;) {
      const table = read64(view, at)
      const bytes = view.getUint32(at + 8) * ENTRY_BYTES
      at += Math.ceil((24 + view.getUint16(at + 18) + view.getUint32(at + 20)) / 8) * 8
      // Tables do not share bytes of the file.
      left -= bytes
      if (bytes === 0 || left < 0 || !this.#isRange(table, bytes)) continue
      this.#count(table, bytes)
      const entries = new Uint8Array(bytes)
      await this.#storage.read(table, entries)
      for (let entry = 0; entry < bytes; entry += ENTRY_BYTES) {
        const place = offsetOf(viewOf(entries).getUint32(entry), viewOf(entries).getUint32(entry + 4))
        if (place !== 0 && this.#isTable(place)) this.#count(place, clusterBytes)
      }
    }
  }

  /** Tables of bitmaps are no longer than other tables. */
  #isRange(offset: number, bytes: number): boolean {
    const isAligned = offset > 0 && offset % this.#header.clusterBytes === 0
    return isAligned && bytes <= MAXIMUM_BITMAP_TABLE_BYTES && offset + bytes <= this.#storage.bytes
  }

  #isTable(offset: number): boolean {
    const { clusterBytes } = this.#header
    return offset > 0 && offset % clusterBytes === 0 && offset + clusterBytes <= this.#storage.bytes
  }
}

const MAXIMUM_BITMAP_TABLE_BYTES: number = 32 << 20
