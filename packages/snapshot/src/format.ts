import { crc32 } from './equal-pages.ts'
import { SnapshotError } from './errors.ts'

/** A file begins with it: a name, and bytes that show a transfer as text. */
export const MAGIC: Uint8Array = Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x61, 0x70, 0x0a)
export const FORMAT_VERSION = 2
/** Bytes of the file's header: the magic number, the version, and zeros. */
export const HEADER_BYTES = 16
/** Bytes in front of each section. */
export const SECTION_BYTES = 32
/** Bytes of the index for each section of pages: its checksum and its size in the file, as in the section's head. */
export const INDEX_BYTES = 8
/** Largest section, compressed or not: no file makes a reader hold more of one at once. */
export const MOST_SECTION_BYTES: number = 2 ** 30
/** Pages compressed together: 1 MiB. */
export const PAGES_A_SECTION = 256
/** Most pages of a file: 4 GiB, which no machine's RAM reaches. */
export const MOST_PAGES: number = 2 ** 20

/** Names of sections, in the order in which they come: the last is empty. */
export type SectionName = 'DESC' | 'STAT' | 'BYTE' | 'PMAP' | 'PAGE' | 'INDX' | 'END '

/** The head of a section. Numbers are little-endian words: name, CRC-32 of the data, their size, decompressed size. */
export interface SectionHead {
  readonly name: string
  /** Checksum of the data as stored in the file. */
  readonly checksum: number
  /** Bytes in the file. */
  readonly stored: number
  /** Decompressed length in bytes; 0: not compressed. */
  readonly bytes: number
}

/** Makes a file's header. */
export function encodeHeader(): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(MAGIC)
  new DataView(header.buffer).setUint32(8, FORMAT_VERSION, true)
  return header
}

/** @throws SnapshotError `ERR_NOT_A_SNAPSHOT`, `ERR_TRUNCATED`, `ERR_VERSION`, `ERR_DAMAGED` */
export function checkHeader(header: Uint8Array): void {
  const magic = Math.min(header.length, MAGIC.length)
  for (let i = 0; i < magic; i++) {
    if (header[i] !== MAGIC[i])
      throw new SnapshotError('ERR_NOT_A_SNAPSHOT', 'this is no snapshot file: it does not begin as one')
  }
  if (header.length < HEADER_BYTES)
    throw new SnapshotError('ERR_TRUNCATED', `the snapshot ends after ${header.length} bytes, in its header`)
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES)
  const version = view.getUint32(8, true)
  if (version !== FORMAT_VERSION)
    throw new SnapshotError('ERR_VERSION', `the snapshot has format ${version}: expected ${FORMAT_VERSION}`)
  if (view.getUint32(12, true) !== 0) throw new SnapshotError('ERR_DAMAGED', 'the snapshot is damaged in its header')
}

export function encodeHead(name: SectionName, data: Uint8Array, bytes: number): Uint8Array {
  const head = new Uint8Array(SECTION_BYTES)
  const view = new DataView(head.buffer)
  for (let i = 0; i < 4; i++) head[i] = name.charCodeAt(i)
  view.setUint32(4, crc32(data), true)
  view.setUint32(8, data.length, true)
  view.setUint32(12, bytes, true)
  view.setUint32(28, crc32(head.subarray(0, 28)), true)
  return head
}

/** Reads the head of a section. @returns undefined for a damaged one */
export function decodeHead(head: Uint8Array): SectionHead | undefined {
  const view = new DataView(head.buffer, head.byteOffset, SECTION_BYTES)
  if (view.getUint32(28, true) !== crc32(head.subarray(0, 28))) return undefined
  const [stored, bytes] = [view.getUint32(8, true), view.getUint32(12, true)]
  if (Math.max(stored, bytes) > MOST_SECTION_BYTES) return undefined
  const name = String.fromCharCode(...head.subarray(0, 4))
  return { name, checksum: view.getUint32(4, true), stored, bytes }
}

/** Most bytes of a section's data after decompression. */
const MOST_BYTES: Readonly<Record<SectionName, number>> = {
  DESC: 2 ** 20,
  STAT: 2 ** 28,
  BYTE: MOST_SECTION_BYTES,
  PMAP: MOST_PAGES * 8,
  PAGE: 2 ** 20,
  // Not compressed, so that its place can be computed from the file's end.
  INDX: (MOST_PAGES / PAGES_A_SECTION) * INDEX_BYTES,
  'END ': 0,
}

/**
 * Whether a section may have such sizes: neither text that no host can hold as one, nor more than is kept, nor data that
 * compressing has made much larger, which may take any time to decompress.
 */
export function isSizeOf(name: SectionName, { stored, bytes }: Pick<SectionHead, 'stored' | 'bytes'>): boolean {
  const most = MOST_BYTES[name]
  return bytes === 0 ? stored <= most : bytes <= most && stored <= 2 * bytes + 64
}
