import type { BlockStorage } from '../storage.ts'
import { Findings, countReferences } from './references.ts'
import { HEADER_INCOMPATIBLE } from './format.ts'
import type { Qcow2Header } from './header.ts'
import type { Metadata } from './metadata.ts'

/** The extent of a repair: counts that are too high, or everything. */
export type Qcow2Repair = 'leaks' | 'all'

/**
 * Sets every count to the references that there are, as after a kill while counts were only in memory.
 *
 * @throws ImageError `ERR_FORMAT`, BlockError
 */
export async function repairCounts(
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
    // oxlint-disable-next-line no-await-in-loop -- a block may have to be loaded
    await metadata.change(() => refcounts.recount(index, countOf))
  }
  if (what === 'all') {
    for (const cluster of references.clusters()) {
      if (refcounts.isCounted(cluster)) continue
      // oxlint-disable-next-line no-await-in-loop
      await metadata.change(() => refcounts.set(cluster * header.clusterBytes, references.get(cluster)))
    }
  }
  await metadata.commit()
}

/** Notes that the counts are right: neither dirty nor corrupt. */
export async function clearMarks(storage: BlockStorage): Promise<void> {
  const lowest = new Uint8Array(1)
  const at = HEADER_INCOMPATIBLE + 7
  await storage.read(at, lowest)
  lowest[0]! &= ~3
  await storage.write(at, lowest)
  await storage.flush()
}
