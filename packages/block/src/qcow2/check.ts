import type { BlockStorage } from '../storage.ts'
import { COMPRESSED, ENTRY_BYTES, offsetOf, read64 } from './format.ts'
import { Findings, ClusterCounts, countReferences, type References } from './references.ts'
import { type Qcow2Header, readHeader, viewOf } from './header.ts'
import { RefcountWidth } from './refcount-width.ts'

/** The result of checking an image. Clusters that are counted but not used are leaks: they only take room. */
export interface Qcow2Check {
  /** References that are counted too low, and entries that are invalid. The disk may lose data. */
  readonly corruptions: number
  /** Number of clusters whose reference count is too high. */
  readonly leaks: number
  /** Clusters of the disk. */
  readonly totalClusters: number
  /** Clusters of the disk that are in the file. */
  readonly allocatedClusters: number
  /** Clusters of the disk that are compressed in the file. */
  readonly compressedClusters: number
  /** End offset of the last cluster in use. */
  readonly endOffset: number
  /** The first findings, in words. */
  readonly messages: readonly string[]
}

/**
 * Compares the reference counts of a qcow2 image with the references to each cluster.
 *
 * @throws ImageError `ERR_FORMAT`, `ERR_UNSUPPORTED` for an invalid header; BlockError for a failed read
 */
export async function checkQcow2(storage: BlockStorage): Promise<Qcow2Check> {
  const header = await readHeader(storage)
  const findings = new Findings()
  const references = await countReferences(storage, header, findings)
  let endOffset = 0
  const counted = await compareCounts(storage, header, references, findings)
  await checkCopied(storage, header, counted, findings)
  for (const cluster of references.clusters()) endOffset = Math.max(endOffset, (cluster + 1) * header.clusterBytes)
  return {
    corruptions: findings.corruptions,
    leaks: findings.leaks,
    totalClusters: Math.ceil(header.bytes / header.clusterBytes),
    allocatedClusters: references.allocated,
    compressedClusters: references.compressed,
    endOffset,
    messages: findings.messages,
  }
}

/** Reads the counts block by block. @returns the counts of clusters with references */
async function compareCounts(
  storage: BlockStorage,
  header: Qcow2Header,
  references: References,
  findings: Findings,
): Promise<ClusterCounts> {
  const { clusterBytes } = header
  const width = new RefcountWidth(header.refcountOrder)
  const entries = width.entriesIn(clusterBytes)
  const table = new Uint8Array(header.refcountTableClusters * clusterBytes)
  await storage.read(header.refcountTableOffset, table)
  const counted = new ClusterCounts()
  const block = new Uint8Array(clusterBytes)
  const seen = new Set<number>()
  for (let index = 0; index * ENTRY_BYTES < table.length; index++) {
    const offset = read64(viewOf(table), index * ENTRY_BYTES)
    if (offset === 0 || !isTablePlace(offset, storage, header)) continue
    if (seen.has(offset)) {
      findings.corruption(`refcount block ${index} lies at ${offset}, where another one is`)
      continue
    }
    seen.add(offset)
    await storage.read(offset, block)
    const view = viewOf(block)
    for (let i = 0; i < entries; i++) {
      const count = width.read(view, i)
      if (count === 0) continue
      const cluster = index * entries + i
      const expected = references.get(cluster)
      if (count > expected) findings.leak(`cluster ${cluster} has the count ${count} and ${expected} references`)
      if (count < expected) findings.corruption(`cluster ${cluster} has the count ${count} and ${expected} references`)
      if (expected > 0) counted.add(cluster, Math.min(count, 2))
    }
  }
  for (const cluster of references.clusters()) {
    if (counted.get(cluster) === 0) {
      findings.corruption(`cluster ${cluster} has the count 0 and ${references.get(cluster)} references`)
    }
  }
  return counted
}

/** Whether an offset can hold a table of one cluster. */
export const isTablePlace = (offset: number, storage: BlockStorage, { clusterBytes }: Qcow2Header): boolean =>
  offset > 0 && offset % clusterBytes === 0 && offset + clusterBytes <= storage.bytes

/** Compares the marks of clusters that may be written in place with the counts. */
async function checkCopied(
  storage: BlockStorage,
  header: Qcow2Header,
  counted: ClusterCounts,
  findings: Findings,
): Promise<void> {
  const { clusterBytes } = header
  const compare = (what: string, hi: number, offset: number): void => {
    const isMarked = hi >>> 31 === 1
    const count = counted.get(Math.floor(offset / clusterBytes))
    if (isMarked !== (count === 1)) {
      findings.corruption(
        `${what} at ${offset} has ${count === 1 ? 'one reference' : 'none or several'} and is ${isMarked ? '' : 'not '}marked as its own`,
      )
    }
  }
  const l1 = new Uint8Array(header.l1Entries * ENTRY_BYTES)
  await storage.read(header.l1Offset, l1)
  const table = new Uint8Array(clusterBytes)
  const seen = new Set<number>()
  for (let i = 0; i < header.l1Entries; i++) {
    const hi = viewOf(l1).getUint32(i * ENTRY_BYTES)
    const offset = offsetOf(hi, viewOf(l1).getUint32(i * ENTRY_BYTES + 4))
    if (offset === 0 || !isTablePlace(offset, storage, header) || seen.has(offset)) continue
    seen.add(offset)
    compare('the L2 table', hi, offset)
    await storage.read(offset, table)
    const view = viewOf(table)
    for (let at = 0; at < clusterBytes; at += ENTRY_BYTES) {
      const entryHi = view.getUint32(at)
      const host = offsetOf(entryHi, view.getUint32(at + 4))
      if ((entryHi & COMPRESSED) !== 0) {
        if (entryHi >>> 31 === 1) findings.corruption(`a compressed cluster at entry ${at / 8} is marked as its own`)
      } else if (host !== 0) compare('the cluster', entryHi, host)
    }
  }
}
