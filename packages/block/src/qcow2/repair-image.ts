import { BlockError } from '@retrap/device'
import type { BlockStorage } from '../storage.ts'
import { checkQcow2, type Qcow2Check } from './check.ts'
import { readHeader } from './header.ts'
import { DEFAULT_CACHE_BYTES, openMetadata } from './open-metadata.ts'
import { clearMarks, type Qcow2Repair, repairCounts } from './repair.ts'

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
