import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, HEADER_AUTOCLEAR, HEADER_INCOMPATIBLE } from './format.ts'
import { type Qcow2Header, readHeader } from './header.ts'
import { Metadata } from './metadata.ts'
import { Refcounts } from './refcounts.ts'
import type { SnapshotTable } from './snapshots.ts'
import { BlockError } from '@retrap/device'
import { checkQcow2, type Qcow2Check } from './check.ts'
import { Findings, countReferences } from './references.ts'

/** Bytes of tables in memory: enough for a disk of 40 GB with clusters of 64 KiB, used all over. */
export const DEFAULT_CACHE_BYTES: number = 8 << 20
/** The share of the memory for tables that refcounts get. */
const REFCOUNT_SHARE = 0.25

/** Reads the tables that stay in memory. @throws ImageError, BlockError */
export async function openMetadata(
  storage: BlockStorage,
  header: Qcow2Header,
  { cacheBytes, snapshot }: { readonly cacheBytes: number; readonly snapshot: SnapshotTable | null },
): Promise<Metadata> {
  const l1Offset = snapshot?.l1Offset ?? header.l1Offset
  const l1 = new Uint8Array((snapshot?.l1Entries ?? header.l1Entries) * ENTRY_BYTES)
  await storage.read(l1Offset, l1)
  const place = { bytes: l1, offset: l1Offset }
  const l2Bytes = cacheBytes * (1 - REFCOUNT_SHARE)
  if (storage.readOnly || snapshot !== null) return new Metadata(storage, header, place, null, l2Bytes)
  if (header.isCorrupt) {
    throw new ImageError('ERR_FORMAT', 'the qcow2 image is marked as corrupt; open it read-only, or repair it')
  }
  const table = new Uint8Array(header.refcountTableClusters * header.clusterBytes)
  await storage.read(header.refcountTableOffset, table)
  const refcounts = new Refcounts(storage, header, table, {
    cacheBytes: cacheBytes * REFCOUNT_SHARE,
    isReserved: (offset) => metadata.isReserved(offset),
  })
  const metadata: Metadata = new Metadata(storage, header, place, refcounts, l2Bytes)
  // Autoclear bits mark data such as bitmaps, which we do not keep up to date.
  if (header.hasAutoclear) await storage.write(HEADER_AUTOCLEAR, new Uint8Array(8))
  if (header.isDirty) {
    await repairCounts(storage, header, metadata, 'all')
    await clearMarks(storage)
  } else if (header.hasAutoclear) await storage.flush()
  return metadata
}

/**
 * Repairs the reference counts of a qcow2 image. Errors in its tables stay.
 *
 * @param what - `leaks` frees clusters that nothing refers to; `all` corrects all counts, and the marks of clusters that may
 *   be written in place
 * @returns the remaining errors
 * @throws ImageError, BlockError
 */
export async function repairQcow2(storage: BlockStorage, what: Qcow2Repair): Promise<Qcow2Check> {
  if (storage.readOnly) throw new BlockError('ERR_READ_ONLY', 'the image cannot be written')
  const header = { ...(await readHeader(storage)), isDirty: false, isCorrupt: false }
  const metadata = await openMetadata(storage, header, { cacheBytes: DEFAULT_CACHE_BYTES, snapshot: null })
  await repairCounts(storage, header, metadata, what)
  if (what === 'all') {
    await metadata.correctOwn()
    await metadata.commit()
  }
  const check = await checkQcow2(storage)
  if (check.corruptions === 0 && header.version === 3) await clearMarks(storage)
  return check
}

/** The extent of a repair: counts that are too high, or everything. */
type Qcow2Repair = 'leaks' | 'all'

/**
 * Sets every count to the references that there are, as after a kill while counts were only in memory.
 *
 * @throws ImageError `ERR_FORMAT`, BlockError
 */
async function repairCounts(
  storage: BlockStorage,
  header: Qcow2Header,
  metadata: Metadata,
  what: Qcow2Repair,
): Promise<void> {
  const references = await countReferences(storage, header, new Findings())
  let end = Math.ceil(storage.bytes / header.clusterBytes)
  for (const cluster of references.clusters()) end = Math.max(end, cluster + 1)
  const { refcounts } = metadata
  // The present counts may call a cluster free that is in use.
  refcounts.searchFrom(end)
  const blocks = refcounts.blocks
  const countOf = (cluster: number, present: number): number =>
    what === 'leaks' ? Math.min(present, references.get(cluster)) : references.get(cluster)
  for (let index = 0; index < blocks; index++) {
    await metadata.change(() => refcounts.recount(index, countOf))
  }
  if (what === 'all') {
    for (const cluster of references.clusters()) {
      if (refcounts.isCounted(cluster)) continue
      await metadata.change(() => refcounts.set(cluster * header.clusterBytes, references.get(cluster)))
    }
  }
  await metadata.commit()
}

/** Clears the dirty and corrupt flags, because the counts are right. */
async function clearMarks(storage: BlockStorage): Promise<void> {
  const lowest = new Uint8Array(1)
  const at = HEADER_INCOMPATIBLE + 7
  await storage.read(at, lowest)
  lowest[0]! &= ~3
  await storage.write(at, lowest)
  await storage.flush()
}
