import { crc32 } from '@retrap/snapshot'
import { cutAt, RecordingError } from './errors.ts'

/** A file begins with it: a name, and bytes that show a transfer as text. */
const MAGIC = Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x65, 0x63, 0x0a)
const FORMAT_VERSION = 4
/** Bytes of the file's header: the magic number, the version, and zeros. */
export const HEADER_BYTES = 16
/** Bytes in front of each section. */
export const SECTION_BYTES = 40
/** Largest section, compressed or not. */
export const MOST_SECTION_BYTES: number = 2 ** 30
/** Largest section of events, decompressed, so that a small file cannot fill the host's memory. */
export const MOST_LOG_BYTES: number = 16 * 2 ** 20
/** Bytes of the footer's contents: where the index is. */
export const FOOTER_BYTES = 8

/** Names of sections. A file begins with `DESC` and, if nothing has cut it, ends with `INDX` and `END `. */
export type SectionName = 'DESC' | 'IMAG' | 'LOG ' | 'DATA' | 'PAGE' | 'STAT' | 'BYTE' | 'PMAP' | 'INDX' | 'END '

/** A point of a run. */
export interface Instant {
  /** Number of the machine's rounds before the instant. */
  readonly round: number
  /** Instructions that all vCPUs have retired. */
  readonly instructions: number
}

/** The head of a section: numbers are little-endian; instants are 64-bit floats, which hold 2^53 exactly. */
export interface SectionHead extends Instant {
  readonly name: string
  /** CRC-32 of the data as they are in the file. */
  readonly checksum: number
  /** Bytes in the file. */
  readonly stored: number
  /** Bytes when decompressed. */
  readonly bytes: number
}

/** Makes a file's header. */
export function encodeHeader(): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(MAGIC)
  new DataView(header.buffer).setUint32(8, FORMAT_VERSION, true)
  return header
}

/** @throws RecordingError `ERR_NOT_A_RECORDING`, `ERR_VERSION`, `ERR_DAMAGED` */
export function checkHeader(header: Uint8Array): void {
  if (header.length === 0 || header.subarray(0, MAGIC.length).some((byte, i) => MAGIC[i] !== byte))
    throw new RecordingError('ERR_NOT_A_RECORDING', 'this is no recording: it does not begin as one')
  if (header.length < HEADER_BYTES) throw cutAt(header.length)
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES)
  const version = view.getUint32(8, true)
  if (version !== FORMAT_VERSION)
    throw new RecordingError('ERR_VERSION', `the recording has format ${version}: expected ${FORMAT_VERSION}`)
  if (view.getUint32(12, true) !== 0) throw new RecordingError('ERR_DAMAGED', 'the recording is damaged in its header')
}

export function encodeHead(name: SectionName, data: Uint8Array, bytes: number, at: Instant): Uint8Array {
  const head = new Uint8Array(SECTION_BYTES)
  const view = new DataView(head.buffer)
  for (let i = 0; i < 4; i++) head[i] = name.charCodeAt(i)
  view.setUint32(4, crc32(data), true)
  view.setUint32(8, data.length, true)
  view.setUint32(12, bytes, true)
  view.setFloat64(16, at.round, true)
  view.setFloat64(24, at.instructions, true)
  view.setUint32(36, crc32(head.subarray(0, 36)), true)
  return head
}

/** Reads the head of a section. @returns undefined for one that is damaged or cut */
export function decodeHead(head: Uint8Array): SectionHead | undefined {
  if (head.length < SECTION_BYTES) return undefined
  const view = new DataView(head.buffer, head.byteOffset, SECTION_BYTES)
  if (view.getUint32(36, true) !== crc32(head.subarray(0, 36))) return undefined
  const [stored, bytes] = [view.getUint32(8, true), view.getUint32(12, true)]
  const [round, instructions] = [view.getFloat64(16, true), view.getFloat64(24, true)]
  if (Math.max(stored, bytes) > MOST_SECTION_BYTES || !isCount(round) || !isCount(instructions)) return undefined
  const name = String.fromCharCode(...head.subarray(0, 4))
  return { name, checksum: view.getUint32(4, true), stored, bytes, round, instructions }
}

/** Whether a file may have it as an instant's number. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
