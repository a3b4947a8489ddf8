import { crc32 } from 'node:zlib'

/**
 * The index of a pack: compiled code in one file. The head, an entry for each piece of code, and the code, in the order of
 * the entries; all words are little-endian.
 */
export interface PackIndex {
  /** Offset of the code in the file. */
  readonly dataAt: number
  /** Oldest first. */
  readonly entries: readonly PackEntry[]
}

/** A piece of code. */
export interface PackEntry {
  /** `CodeSource.key` of `@retrap/engine`. */
  readonly key: number
  readonly bytes: number
  /** CRC-32 of the code: together with key and size it identifies the code. */
  readonly sum: number
  /** Time of the entry's last use: hours since 1970. */
  readonly used: number
}

export const PACK_HEAD_BYTES = 16
export const PACK_ENTRY_BYTES = 16
/** `RTPK`, and the version of the format. */
const MAGIC = 0x4b50_5452
const VERSION = 1
/** Bytes of a piece of code at most. */
export const MOST_CODE_BYTES: number = 1 << 20

export function encodeIndex(entries: readonly PackEntry[]): Uint8Array {
  const bytes = new Uint8Array(PACK_HEAD_BYTES + entries.length * PACK_ENTRY_BYTES)
  const words = new Uint32Array(bytes.buffer)
  words.set([MAGIC, VERSION, entries.length])
  for (const [i, { key, bytes: size, sum, used }] of entries.entries())
    words.set([key, size, sum, used], (PACK_HEAD_BYTES + i * PACK_ENTRY_BYTES) >>> 2)
  words[3] = checksumOf(bytes)
  return bytes
}

/** Returns how many bytes the head and the index have; undefined where a file does not begin as a pack does. */
export function indexBytes(head: Uint8Array): number | undefined {
  if (head.length < PACK_HEAD_BYTES) return undefined
  const view = new DataView(head.buffer, head.byteOffset)
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return undefined
  return PACK_HEAD_BYTES + view.getUint32(8, true) * PACK_ENTRY_BYTES
}

/**
 * Decodes the head and the index of a pack.
 *
 * @param fileBytes - size of the file, including all code listed in the index
 * @returns undefined for invalid bytes
 */
export function decodeIndex(index: Uint8Array, fileBytes: number): PackIndex | undefined {
  const dataAt = indexBytes(index)
  if (dataAt === undefined || dataAt !== index.length) return undefined
  const words = new Uint32Array(index.slice().buffer)
  if (words[3] !== checksumOf(index)) return undefined
  const entries: PackEntry[] = []
  let end = dataAt
  for (let i = PACK_HEAD_BYTES >>> 2; i < words.length; i += PACK_ENTRY_BYTES >>> 2) {
    const [key, bytes, sum, used] = words.subarray(i) as unknown as [number, number, number, number]
    if (bytes === 0 || bytes > MOST_CODE_BYTES) return undefined
    entries.push({ key, bytes, sum, used })
    end += bytes
  }
  return end === fileBytes ? { dataAt, entries } : undefined
}

/** Returns the checksum of an index, without the word that holds the checksum. */
function checksumOf(index: Uint8Array): number {
  return crc32(index.subarray(PACK_HEAD_BYTES), crc32(index.subarray(0, PACK_HEAD_BYTES - 4)))
}
