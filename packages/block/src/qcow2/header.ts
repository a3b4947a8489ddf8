import { plainLine } from '@retrap/basics'
import * as format from './format.ts'
import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, read64 } from './format.ts'

/** The backing file of an image, as named in the header. */
export interface BackingName {
  /** The name as stored in the image: usually a path relative to the image's folder. */
  readonly name: string
  /** Null: the image does not say. */
  readonly format: string | null
}

/** The place of an image's list of bitmaps. */
export interface BitmapDirectory {
  readonly count: number
  readonly bytes: number
  readonly offset: number
}

/** A validated header. */
export interface Qcow2Header {
  readonly version: 2 | 3
  readonly clusterBits: number
  readonly clusterBytes: number
  /** Size of the disk. */
  readonly bytes: number
  readonly l1Offset: number
  /** Entries that the disk's size needs. The table may have more. */
  readonly l1Needed: number
  readonly l1Entries: number
  readonly refcountTableOffset: number
  readonly refcountTableClusters: number
  readonly refcountOrder: number
  readonly snapshotCount: number
  readonly snapshotsOffset: number
  readonly isDirty: boolean
  readonly isCorrupt: boolean
  readonly hasLazyRefcounts: boolean
  readonly hasAutoclear: boolean
  readonly compression: 'zlib' | 'zstd'
  readonly backing: BackingName | null
  readonly bitmaps: BitmapDirectory | null
}

/** Whether these are the first bytes of a qcow2 image. */
export const isQcow2 = (head: Uint8Array): boolean =>
  head.length >= 8 && viewOf(head).getUint32(0) === format.MAGIC && [2, 3].includes(viewOf(head).getUint32(4))

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The first number of entries of an L1 table for a disk of this size. */
export const l1EntriesFor = (bytes: number, clusterBytes: number): number =>
  Math.ceil(bytes / clusterBytes / (clusterBytes / ENTRY_BYTES))

const damaged = (what: string): ImageError => new ImageError('ERR_FORMAT', `the qcow2 image is damaged: ${what}`)

/** Reads and checks the header of an image. @throws ImageError `ERR_FORMAT`, `ERR_UNSUPPORTED` */
export async function readHeader(storage: BlockStorage): Promise<Qcow2Header> {
  const head = new Uint8Array(112)
  await storage.read(0, head.subarray(0, Math.min(head.length, storage.bytes)))
  const view = viewOf(head)
  if (storage.bytes < format.VERSION_2_HEADER_BYTES || view.getUint32(0) !== format.MAGIC) {
    throw new ImageError('ERR_FORMAT', 'it is not a qcow2 image')
  }
  const version = view.getUint32(4)
  if (version !== 2 && version !== 3) {
    throw new ImageError('ERR_UNSUPPORTED', `qcow2 version ${version}: versions 2 and 3 are supported`)
  }
  const clusterBits = view.getUint32(20)
  if (clusterBits < format.MINIMUM_CLUSTER_BITS || clusterBits > format.MAXIMUM_CLUSTER_BITS) {
    throw damaged(`cluster_bits is ${clusterBits}; expected 9 to 21`)
  }
  const clusterBytes = 2 ** clusterBits
  const headerBytes = version === 2 ? format.VERSION_2_HEADER_BYTES : view.getUint32(100)
  const isLengthRight = version === 2 || (headerBytes >= format.VERSION_3_HEADER_BYTES && headerBytes % 8 === 0)
  if (!isLengthRight || headerBytes > Math.min(clusterBytes, storage.bytes)) {
    throw damaged(
      `header_length is ${headerBytes}; expected a multiple of 8, at least ${format.VERSION_3_HEADER_BYTES}, within the first cluster`,
    )
  }
  const cluster = new Uint8Array(Math.min(clusterBytes, storage.bytes))
  await storage.read(0, cluster)
  const extensions = readExtensions(cluster, headerBytes, read64(view, 8))
  const incompatible = version === 2 ? 0 : view.getUint32(76)
  refuseUnknown(version === 2 ? 0 : view.getUint32(72), incompatible, extensions.featureNames)
  if (view.getUint32(32) !== 0) throw new ImageError('ERR_UNSUPPORTED', 'the qcow2 image is encrypted')
  const refcountOrder = version === 2 ? format.VERSION_2_REFCOUNT_ORDER : view.getUint32(96)
  if (refcountOrder > format.MAXIMUM_REFCOUNT_ORDER) throw damaged(`refcount_order is ${refcountOrder}; at most 6`)
  const header: Qcow2Header = {
    version,
    clusterBits,
    clusterBytes,
    bytes: read64(view, 24),
    l1Entries: view.getUint32(36),
    l1Needed: l1EntriesFor(read64(view, 24), clusterBytes),
    l1Offset: read64(view, 40),
    refcountTableOffset: read64(view, 48),
    refcountTableClusters: view.getUint32(56),
    refcountOrder,
    snapshotCount: view.getUint32(60),
    snapshotsOffset: read64(view, 64),
    isDirty: (incompatible & format.INCOMPATIBLE_DIRTY) !== 0,
    isCorrupt: (incompatible & format.INCOMPATIBLE_CORRUPT) !== 0,
    hasLazyRefcounts: version === 3 && (view.getUint32(84) & format.COMPATIBLE_LAZY_REFCOUNTS) !== 0,
    hasAutoclear: version === 3 && (view.getUint32(88) !== 0 || view.getUint32(92) !== 0),
    compression: compressionOf(incompatible, headerBytes > 104 ? cluster[104]! : 0),
    backing: readBacking(cluster, view, extensions.backingFormat),
    bitmaps: extensions.bitmaps,
  }
  checkTables(header, storage.bytes)
  return header
}

interface Extensions {
  readonly backingFormat: string | null
  readonly featureNames: Uint8Array | null
  readonly bitmaps: BitmapDirectory | null
}

/** Reads the header extensions, which end where the name of the backing file begins. */
function readExtensions(cluster: Uint8Array, start: number, backingOffset: number): Extensions {
  const view = viewOf(cluster)
  const end = backingOffset === 0 ? cluster.length : Math.min(backingOffset, cluster.length)
  let backingFormat: string | null = null
  let featureNames: Uint8Array | null = null
  let bitmaps: BitmapDirectory | null = null
  for (let at = start; at + 8 <= end;) {
    const type = view.getUint32(at)
    const length = view.getUint32(at + 4)
    if (type === format.EXTENSION_END) break
    const data = at + 8
    if (length > end - data) throw damaged(`a header extension of ${length} bytes at ${at} does not fit`)
    if (type === format.EXTENSION_BACKING_FORMAT) backingFormat = textOf(cluster.subarray(data, data + length))
    if (type === format.EXTENSION_FEATURE_NAMES) featureNames = cluster.subarray(data, data + length)
    if (type === format.EXTENSION_BITMAPS && length >= 24) {
      bitmaps = { count: view.getUint32(data), bytes: read64(view, data + 8), offset: read64(view, data + 16) }
    }
    at = data + Math.ceil(length / 8) * 8
  }
  return { backingFormat, featureNames, bitmaps }
}

/** @throws ImageError `ERR_UNSUPPORTED` for a feature without which the image cannot be read */
function refuseUnknown(hi: number, lo: number, names: Uint8Array | null): void {
  const known = format.INCOMPATIBLE_DIRTY | format.INCOMPATIBLE_CORRUPT | format.INCOMPATIBLE_COMPRESSION
  const unknown: string[] = []
  for (let bit = 0; bit < 64; bit++) {
    const isSet = ((bit < 32 ? lo & ~known : hi) >>> (bit & 31)) & 1
    if (isSet === 1) unknown.push(`${featureName(bit, names) ?? 'unknown'} (bit ${bit})`)
  }
  if (unknown.length === 0) return
  throw new ImageError('ERR_UNSUPPORTED', `the qcow2 image has features that are not supported: ${unknown.join(', ')}`)
}

function featureName(bit: number, table: Uint8Array | null): string | undefined {
  for (let at = 0; table !== null && at + format.FEATURE_NAME_BYTES <= table.length; at += format.FEATURE_NAME_BYTES) {
    // Type 0: incompatible features.
    if (table[at] === 0 && table[at + 1] === bit) return textOf(table.subarray(at + 2, at + format.FEATURE_NAME_BYTES))
  }
  return format.INCOMPATIBLE_NAMES[bit]
}

function compressionOf(incompatible: number, type: number): 'zlib' | 'zstd' {
  const isNamed = (incompatible & format.INCOMPATIBLE_COMPRESSION) !== 0
  if (isNamed !== (type !== 0)) throw damaged(`compression type ${type} contradicts its feature bit`)
  if (type > 1) throw new ImageError('ERR_UNSUPPORTED', `compression type ${type}: zlib and zstd are supported`)
  return type === 0 ? 'zlib' : 'zstd'
}

function readBacking(cluster: Uint8Array, view: DataView, backingFormat: string | null): BackingName | null {
  const offset = read64(view, 8)
  if (offset === 0) return null
  const length = view.getUint32(16)
  if (length > format.MAXIMUM_BACKING_NAME_BYTES || offset + length > cluster.length) {
    throw damaged(`the name of the backing file has ${length} bytes at ${offset}`)
  }
  return { name: textOf(cluster.subarray(offset, offset + length)), format: backingFormat }
}

/** Reads a name that may be padded with zeros; control characters would confuse a terminal. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return plainLine(new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)))
}

function checkTables(header: Qcow2Header, fileBytes: number): void {
  const { clusterBytes, bytes, l1Entries, l1Needed, l1Offset, refcountTableOffset, refcountTableClusters } = header
  if (!Number.isSafeInteger(bytes)) throw damaged(`the disk's size is ${bytes} bytes`)
  if (l1Needed * ENTRY_BYTES > format.MAXIMUM_L1_BYTES || l1Entries * ENTRY_BYTES > format.MAXIMUM_L1_BYTES) {
    throw damaged(`the L1 table has ${l1Entries} entries and needs ${l1Needed}; at most 32 MiB`)
  }
  if (l1Entries < l1Needed) throw damaged(`the L1 table has ${l1Entries} entries; ${l1Needed} are needed`)
  const inFile = (offset: number, size: number): boolean =>
    offset >= clusterBytes && offset % clusterBytes === 0 && offset + size <= fileBytes
  if (l1Entries > 0 && !inFile(l1Offset, l1Entries * ENTRY_BYTES)) throw damaged(`the L1 table lies at ${l1Offset}`)
  const tableBytes = refcountTableClusters * clusterBytes
  if (refcountTableClusters === 0 || tableBytes > format.MAXIMUM_REFCOUNT_TABLE_BYTES) {
    throw damaged(`the refcount table has ${refcountTableClusters} clusters`)
  }
  if (!inFile(refcountTableOffset, tableBytes)) throw damaged(`the refcount table lies at ${refcountTableOffset}`)
  if (header.snapshotCount > format.MAXIMUM_SNAPSHOTS) throw damaged(`there are ${header.snapshotCount} snapshots`)
  if (header.snapshotCount > 0 && !inFile(header.snapshotsOffset, 40 * header.snapshotCount)) {
    throw damaged(`the snapshot table lies at ${header.snapshotsOffset}`)
  }
}
