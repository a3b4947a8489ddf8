import type { BlockStorage } from '../storage.ts'
import { type BackingName, readHeader } from './header.ts'
import { type Qcow2Snapshot, readSnapshots } from './snapshots.ts'

/** The header of a qcow2 image. */
export interface Qcow2Info {
  /** Version of the format. */
  readonly version: 2 | 3
  /** Size of the disk. */
  readonly bytes: number
  /** Unit of allocation. */
  readonly clusterBytes: number
  /** Width of a reference count. */
  readonly refcountBits: number
  /** A program that kept reference counts in memory did not close the image. */
  readonly isDirty: boolean
  /** Whether a program has marked the image as corrupt. */
  readonly isCorrupt: boolean
  /** Programs may keep reference counts in memory. */
  readonly hasLazyRefcounts: boolean
  /** Compression method of its compressed clusters. */
  readonly compression: 'zlib' | 'zstd'
  /** The file below. */
  readonly backing: BackingName | null
  /** Internal snapshots. */
  readonly snapshots: readonly Qcow2Snapshot[]
}

/** Reads the header and the snapshot table of a qcow2 image. @throws ImageError `ERR_FORMAT`, `ERR_UNSUPPORTED`; BlockError */
export async function readQcow2Info(storage: BlockStorage): Promise<Qcow2Info> {
  const header = await readHeader(storage)
  const snapshots = header.snapshotCount === 0 ? [] : await readSnapshots(storage, header)
  return {
    version: header.version,
    bytes: header.bytes,
    clusterBytes: header.clusterBytes,
    refcountBits: 2 ** header.refcountOrder,
    isDirty: header.isDirty,
    isCorrupt: header.isCorrupt,
    hasLazyRefcounts: header.hasLazyRefcounts,
    compression: header.compression,
    backing: header.backing,
    snapshots: snapshots.map(({ id, name, takenMs, stateBytes, bytes }) => ({ id, name, takenMs, stateBytes, bytes })),
  }
}
