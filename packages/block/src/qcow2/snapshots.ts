import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, MAXIMUM_L1_BYTES, read64 } from './format.ts'
import { l1EntriesFor, type Qcow2Header, textOf, viewOf } from './header.ts'

/** An internal snapshot of an image. */
export interface Qcow2Snapshot {
  /** Identifier, unique in its image. */
  readonly id: string
  /** The name given by its creator. */
  readonly name: string
  /** Time of the snapshot, in milliseconds since the Epoch. */
  readonly takenMs: number
  /** Bytes of the snapshot's machine state; 0: disk only. */
  readonly stateBytes: number
  /** Size of the disk at the snapshot, in bytes. */
  readonly bytes: number
}

/** A snapshot, with the place of its L1 table. */
export interface SnapshotTable extends Qcow2Snapshot {
  readonly l1Offset: number
  readonly l1Entries: number
  /** End offset of the entry in the file. */
  readonly end: number
}

const FIXED_BYTES = 40
/** Entries are read in pieces; a longer one is damaged. */
const MAXIMUM_ENTRY_BYTES: number = 256 << 10
/** A limit of QEMU. It also bounds our memory. */
const MAXIMUM_TABLE_BYTES: number = 64 << 20

/** Reads the list of snapshots. @throws ImageError `ERR_FORMAT` */
export async function readSnapshots(storage: BlockStorage, header: Qcow2Header): Promise<readonly SnapshotTable[]> {
  const list: SnapshotTable[] = []
  let at = header.snapshotsOffset
  for (let i = 0; i < header.snapshotCount; i++) {
    const damaged = (what: string): ImageError =>
      new ImageError('ERR_FORMAT', `the qcow2 image is damaged: ${what} of snapshot ${i}`)
    if (at - header.snapshotsOffset > MAXIMUM_TABLE_BYTES) throw damaged('the place')
    if (at + FIXED_BYTES > storage.bytes) throw damaged('the entry')
    const fixed = new Uint8Array(FIXED_BYTES)
    await storage.read(at, fixed)
    const view = viewOf(fixed)
    const idBytes = view.getUint16(12)
    const nameBytes = view.getUint16(14)
    const extraBytes = view.getUint32(36)
    const entryBytes = FIXED_BYTES + extraBytes + idBytes + nameBytes
    if (entryBytes > MAXIMUM_ENTRY_BYTES || at + entryBytes > storage.bytes) throw damaged('the entry')
    const entry = new Uint8Array(entryBytes)
    await storage.read(at, entry)
    const whole = viewOf(entry)
    const id = FIXED_BYTES + extraBytes
    const bytes = extraBytes >= 16 ? read64(whole, 48) : header.bytes
    const l1Offset = read64(view, 0)
    const l1Entries = view.getUint32(8)
    if (!Number.isSafeInteger(bytes)) throw damaged('the size')
    const l1Bytes = l1Entries * ENTRY_BYTES
    const isInFile = l1Offset % header.clusterBytes === 0 && l1Offset + l1Bytes <= storage.bytes
    if (!isInFile || l1Bytes > MAXIMUM_L1_BYTES || l1Entries < l1EntriesFor(bytes, header.clusterBytes)) {
      throw damaged('the L1 table')
    }
    list.push({
      id: textOf(entry.subarray(id, id + idBytes)),
      name: textOf(entry.subarray(id + idBytes, entryBytes)),
      takenMs: view.getUint32(16) * 1000 + Math.floor(view.getUint32(20) / 1e6),
      stateBytes: extraBytes >= 8 ? read64(whole, 40) : view.getUint32(32),
      bytes,
      l1Offset,
      l1Entries,
      end: at + entryBytes,
    })
    at += Math.ceil(entryBytes / 8) * 8
  }
  return list
}

/** The snapshot with this name or id. @throws ImageError `ERR_OPTION` */
export function findSnapshot(list: readonly SnapshotTable[], wanted: string): SnapshotTable {
  const found = list.find(({ name }) => name === wanted) ?? list.find(({ id }) => id === wanted)
  if (found !== undefined) return found
  const names = list.map(({ name }) => `'${name}'`).join(', ')
  throw new ImageError(
    'ERR_OPTION',
    `there is no snapshot '${wanted}'; there ${names === '' ? 'is none' : `are ${names}`}`,
  )
}
