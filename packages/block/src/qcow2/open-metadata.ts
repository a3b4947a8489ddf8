import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, HEADER_AUTOCLEAR } from './format.ts'
import { type Qcow2Header, readHeader } from './header.ts'
import { Metadata } from './metadata.ts'
import { Refcounts } from './refcounts.ts'
import { clearMarks, repairCounts, type Qcow2Repair } from './repair.ts'
import type { SnapshotTable } from './snapshots.ts'
import { BlockError } from '@retrap/device'
import { checkQcow2, type Qcow2Check } from './check.ts'

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
  // We do not keep what autoclear bits stand for up to date, such as bitmaps.
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
 * @returns what is still wrong
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
