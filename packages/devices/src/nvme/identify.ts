import type { BlockProperties } from '@retrap/device'

/** Bytes of each structure that Identify returns. */
export const IDENTIFY_BYTES = 4096
/** Largest transfer of a command: 2^MDTS pages. */
export const MDTS = 7
/** Requests of events that the guest may have open at a time. */
export const EVENT_REQUESTS = 4
/** The namespace of the medium. */
export const NAMESPACE = 1
export const VENDOR_ID = 0x1b36
/** Version 1.4.0. */
export const VERSION = 0x0001_0400
/** Bit of OAES and of the event configuration: notices of changed namespaces. */
export const NAMESPACE_NOTICE = 0x100

const COMPARE = 0x01
const DATASET_MANAGEMENT = 0x04
const WRITE_ZEROES = 0x08
/** Temperature at which a warning would be given. */
export const WARNING_KELVIN = 343
const CRITICAL_KELVIN = 373
const MILLIWATTS_IN_HUNDREDTHS = 2500

/** Identification strings of a drive. */
export interface NvmeNames {
  /** At most 20 ASCII characters. */
  readonly serialNumber: string
  /** At most 40 ASCII characters. */
  readonly model: string
}

/** The Identify Controller structure. Source: NVM Express 1.4, figure 247. */
export function identifyController({ serialNumber, model }: NvmeNames): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, VENDOR_ID, true)
  view.setUint16(2, VENDOR_ID, true)
  putText(bytes, 4, 20, serialNumber)
  putText(bytes, 24, 40, model)
  putText(bytes, 64, 8, '1.0')
  bytes[72] = 6 // recommended arbitration burst: 2^6
  bytes[77] = MDTS
  view.setUint32(80, VERSION, true)
  view.setUint32(92, NAMESPACE_NOTICE, true)
  bytes[111] = 1 // an I/O controller
  bytes[258] = 3 // abort command limit, from 0
  bytes[259] = EVENT_REQUESTS - 1
  bytes[260] = 0x03 // one firmware slot, read-only
  bytes[261] = 0x04 // log pages have an offset
  view.setUint16(266, WARNING_KELVIN, true)
  view.setUint16(268, CRITICAL_KELVIN, true)
  bytes[512] = 0x66 // commands of 2^6 bytes
  bytes[513] = 0x44 // completions of 2^4 bytes
  view.setUint32(516, 1, true)
  view.setUint16(520, COMPARE | DATASET_MANAGEMENT | WRITE_ZEROES, true)
  bytes[525] = 0x07 // a volatile write cache; Flush of all namespaces
  bytes.set(new TextEncoder().encode(`nqn.2014-08.org.nvmexpress:uuid:${uuidOf(serialNumber)}`), 768)
  view.setUint16(2048, MILLIWATTS_IN_HUNDREDTHS, true)
  return bytes
}

/** The Identify Namespace structure. Source: NVM Express 1.4, figure 245. */
export function identifyNamespace(
  { bytes: size, blockBytes, readOnly }: BlockProperties,
  names: NvmeNames,
): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  const view = new DataView(bytes.buffer)
  const blocks = size / blockBytes
  for (const at of [0, 8, 16]) {
    view.setUint32(at, blocks % 2 ** 32, true)
    view.setUint32(at + 4, blocks / 2 ** 32, true)
  }
  if (readOnly) bytes[99] = 0x01
  bytes.set(euiOf(names.serialNumber), 120)
  view.setUint32(128, Math.log2(blockBytes) << 16, true)
  return bytes
}

/** The list of a namespace's identifiers. Source: NVM Express 1.4, figure 246, "Namespace Identification Descriptor". */
export function namespaceDescriptors({ serialNumber }: NvmeNames): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES)
  bytes.set([1, 8, 0, 0, ...euiOf(serialNumber)])
  return bytes
}

function putText(into: Uint8Array, at: number, length: number, text: string): void {
  into.set(new TextEncoder().encode(text.padEnd(length)).subarray(0, length), at)
}

/** Hashes a text (FNV-1a), so that a drive has the same identity at each start. */
function hash(text: string, seed: number): number {
  let value = 0x811c_9dc5 ^ seed
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x0100_0193)
  return value >>> 0
}

/** A locally administered EUI-64. */
function euiOf(serialNumber: string): Uint8Array {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, hash(serialNumber, 1))
  view.setUint32(4, hash(serialNumber, 2))
  bytes[0] = (bytes[0]! & 0xfc) | 0x02
  return bytes
}

/** A UUID of version 8 (RFC 9562). */
function uuidOf(serialNumber: string): string {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < 4; i++) view.setUint32(4 * i, hash(serialNumber, i + 3))
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [0, 8, 12, 16, 20].map((from, i, all) => digits.slice(from, all[i + 1] ?? 32)).join('-')
}
