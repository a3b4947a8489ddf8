import * as format from './format.ts'
import { ImageError } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { ENTRY_BYTES, write64 } from './format.ts'
import { type BackingName, l1EntriesFor, viewOf } from './header.ts'
import { RefcountWidth } from './refcount-width.ts'

/** The options of a new qcow2 image. */
export interface Qcow2CreateOptions {
  /** Size of the disk; a multiple of 512. */
  readonly bytes: number
  /** Unit of allocation: a power of two from 512 to 2 MiB; default 64 KiB. */
  readonly clusterBytes?: number
  /** 3 (default), or 2 for programs from before 2012. */
  readonly version?: 2 | 3
  /** Width of a reference count: 1, 2, 4, 8, 16 (default), 32 or 64. Version 2 has 16. */
  readonly refcountBits?: number
  /** Other programs may keep counts in memory only until the image is closed. Default false. */
  readonly lazyRefcounts?: boolean
  /** The backing image, whose content shows through unallocated clusters. */
  readonly backing?: { readonly name: string; readonly format: string }
}

const option = (message: string): ImageError => new ImageError('ERR_OPTION', message)

/** Writes in pieces of this size. */
const PIECE_BYTES = 1 << 20
const SECTOR = 512

/**
 * Makes a storage a qcow2 image without content. The storage's content is lost; the header is written last.
 *
 * @throws ImageError `ERR_OPTION`, BlockError
 */
export async function createQcow2(storage: BlockStorage, options: Qcow2CreateOptions): Promise<void> {
  const { bytes, version = 3, refcountBits = 16, clusterBytes = 64 << 10 } = options
  checkOptions(options)
  const l1Entries = l1EntriesFor(bytes, clusterBytes)
  if (l1Entries * ENTRY_BYTES > format.MAXIMUM_L1_BYTES) {
    throw option(`${bytes} bytes are too many for clusters of ${clusterBytes} bytes; give larger clusters`)
  }
  const width = new RefcountWidth(Math.log2(refcountBits))
  const layout = layOut(clusterBytes, l1Entries, width)
  const header = new Uint8Array(clusterBytes)
  writeHeader(header, options, { l1Entries, ...layout, refcountOrder: width.order, version })
  // The missing parts of an empty storage read as zeros once later parts are written.
  const isEmpty = storage.bytes === 0
  const put = (at: number, content: Uint8Array): Promise<void> =>
    storage.write(at, isEmpty ? content.subarray(0, usedBytes(content)) : content)
  // Overwrite the first cluster, so that the file does not look like an image before it is complete.
  if (!isEmpty) await storage.write(0, new Uint8Array(clusterBytes))
  const table = new Uint8Array(layout.tableClusters * clusterBytes)
  for (let i = 0; i < layout.blocks; i++) {
    write64(viewOf(table), i * ENTRY_BYTES, (1 + layout.tableClusters + i) * clusterBytes)
    const block = new Uint8Array(clusterBytes)
    const entries = width.entriesIn(clusterBytes)
    const used = Math.min(entries, layout.clusters - i * entries)
    for (let entry = 0; entry < used; entry++) width.write(viewOf(block), entry, 1)
    await put((1 + layout.tableClusters + i) * clusterBytes, block)
  }
  await put(clusterBytes, table)
  const zeros = new Uint8Array(PIECE_BYTES)
  const end = layout.clusters * clusterBytes
  for (let at = isEmpty ? end - SECTOR : layout.l1Cluster * clusterBytes; at < end; at += PIECE_BYTES) {
    await storage.write(at, zeros.subarray(0, Math.min(PIECE_BYTES, end - at)))
  }
  await storage.flush()
  await put(0, header)
  await storage.flush()
}

/** Bytes without the zeros at the end, in whole sectors. */
function usedBytes(content: Uint8Array): number {
  let used = content.length
  while (used > 0 && content[used - 1] === 0) used--
  return Math.ceil(used / SECTOR) * SECTOR
}

function checkOptions(options: Qcow2CreateOptions): void {
  const { bytes, version = 3, refcountBits = 16, clusterBytes = 64 << 10, lazyRefcounts = false } = options
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % 512 !== 0) {
    throw option(`bytes ${bytes}: expected a multiple of 512`)
  }
  const clusterBits = Math.log2(clusterBytes)
  if (!Number.isInteger(clusterBits) || clusterBits < 9 || clusterBits > 21) {
    throw option(`clusterBytes ${clusterBytes}: expected a power of two from 512 to 2097152`)
  }
  if (version !== 2 && version !== 3) throw option(`version ${String(version)}: expected 2 or 3`)
  if (![1, 2, 4, 8, 16, 32, 64].includes(refcountBits)) {
    throw option(`refcountBits ${refcountBits}: expected 1, 2, 4, 8, 16, 32 or 64`)
  }
  if (version === 2 && (refcountBits !== 16 || lazyRefcounts)) {
    throw option('refcountBits other than 16 and lazyRefcounts need version 3')
  }
}

interface Layout {
  readonly tableClusters: number
  readonly blocks: number
  readonly l1Cluster: number
  /** Clusters in all. */
  readonly clusters: number
}

/** The header, the table of refcount blocks, the blocks, the L1 table, in this order. */
function layOut(clusterBytes: number, l1Entries: number, width: RefcountWidth): Layout {
  const l1Clusters = Math.ceil((l1Entries * ENTRY_BYTES) / clusterBytes)
  let tableClusters = 1
  let blocks = 1
  for (;;) {
    const clusters = 1 + tableClusters + blocks + Math.max(1, l1Clusters)
    const neededBlocks = Math.ceil(clusters / width.entriesIn(clusterBytes))
    const neededTable = Math.ceil((neededBlocks * ENTRY_BYTES) / clusterBytes)
    if (neededBlocks <= blocks && neededTable <= tableClusters) {
      return { tableClusters, blocks, l1Cluster: 1 + tableClusters + blocks, clusters }
    }
    blocks = Math.max(blocks, neededBlocks)
    tableClusters = Math.max(tableClusters, neededTable)
  }
}

interface HeaderFields extends Layout {
  readonly version: 2 | 3
  readonly l1Entries: number
  readonly refcountOrder: number
}

function writeHeader(header: Uint8Array, options: Qcow2CreateOptions, fields: HeaderFields): void {
  const view = viewOf(header)
  const clusterBytes = header.length
  const { version } = fields
  view.setUint32(0, format.MAGIC)
  view.setUint32(4, version)
  view.setUint32(20, Math.log2(clusterBytes))
  write64(view, format.HEADER_BYTES, options.bytes)
  view.setUint32(format.HEADER_L1, fields.l1Entries)
  write64(view, format.HEADER_L1 + 4, fields.l1Cluster * clusterBytes)
  write64(view, format.HEADER_REFCOUNT_TABLE, clusterBytes)
  view.setUint32(format.HEADER_REFCOUNT_TABLE + 8, fields.tableClusters)
  if (version === 3) {
    view.setUint32(84, options.lazyRefcounts === true ? format.COMPATIBLE_LAZY_REFCOUNTS : 0)
    view.setUint32(96, fields.refcountOrder)
    view.setUint32(100, format.VERSION_3_HEADER_BYTES)
  }
  const start = version === 2 ? format.VERSION_2_HEADER_BYTES : format.VERSION_3_HEADER_BYTES
  if (options.backing !== undefined) writeBacking(header, start, options.backing)
}

/** Writes the extension with the format of the backing file, the end of the extensions, and the file's name. */
function writeBacking(header: Uint8Array, start: number, backing: BackingName): void {
  const view = viewOf(header)
  const name = new TextEncoder().encode(backing.name)
  const type = new TextEncoder().encode(backing.format ?? '')
  const nameAt = start + 8 + Math.ceil(type.length / 8) * 8 + 8
  const most = Math.min(format.MAXIMUM_BACKING_NAME_BYTES, header.length - nameAt)
  if (name.length === 0 || name.length > most) {
    throw option(`the name of the backing file has ${name.length} bytes; expected 1 to ${most}`)
  }
  view.setUint32(start, format.EXTENSION_BACKING_FORMAT)
  view.setUint32(start + 4, type.length)
  header.set(type, start + 8)
  write64(view, 8, nameAt)
  view.setUint32(16, name.length)
  header.set(name, nameAt)
}
