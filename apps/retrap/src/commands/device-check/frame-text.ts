/** Formats frames of the device protocol for people. */
import {
  decodeProtocolFrame,
  FRAME_TABLE,
  type FrameKind,
  type FrameRow,
  type FrameWord,
} from '@retrap/device-hosting/protocol'

const MOST_BYTES = 64
/** Fields to print in hexadecimal. */
const HEX = new Set(['base', 'address', 'vendor', 'id', 'class', 'offset', 'subsystemVendor', 'subsystem'])
const IN_WORD = new Set(['value', 'session'])

/** Returns a 64-bit field as one integer. */
export const bigOf = ({ lo, hi }: FrameWord): bigint => (BigInt(hi) << 32n) | BigInt(lo)

/** An integer as a field of 64 bits. */
export const wordOf = (value: bigint): FrameWord => ({
  lo: Number(value & 0xffff_ffffn),
  hi: Number((value >> 32n) & 0xffff_ffffn),
})

/** The fields of a kind of frame, in order. */
export const fieldsOf = (kind: FrameKind): FrameRow['fields'] => (FRAME_TABLE[kind] as FrameRow).fields

/** Returns the description of a field, as in `PROTOCOL.md`. */
export function sentenceOf(kind: FrameKind, field: string): string {
  const meaning = fieldsOf(kind).find(([name]) => name === field)?.[2] ?? ''
  return `\`${kind}\`: \`${field}\`: ${meaning}`
}

/** Bytes in hexadecimal, by eights; a long piece is cut. */
export function hexOf(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, MOST_BYTES)].map((byte) => byte.toString(16).padStart(2, '0'))
  const words: string[] = []
  for (let at = 0; at < shown.length; at += 8) words.push(shown.slice(at, at + 8).join(' '))
  return words.join('  ') + (bytes.length > MOST_BYTES ? ` … (${bytes.length} bytes)` : '')
}

function valueText(name: string, value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof Uint8Array)
    return value.length === 0
      ? 'none'
      : `[${hexOf(value.subarray(0, 16))}]${value.length > 16 ? ` … (${value.length})` : ''}`
  if (typeof value === 'number') return HEX.has(name) && value > 9 ? `0x${value.toString(16)}` : String(value)
  const big = bigOf(value as FrameWord)
  if (big === 2n ** 64n - 1n) return '2^64 - 1'
  return IN_WORD.has(name) && big > 9n ? `0x${big.toString(16)}` : String(big)
}

/** A frame's kind and fields in one line. */
export function fieldsText(bytes: Uint8Array): string {
  const { frame } = decodeProtocolFrame(bytes)
  const values = frame as unknown as Readonly<Record<string, unknown>>
  return [frame.kind, ...fieldsOf(frame.kind).map(([name]) => `${name} ${valueText(name, values[name])}`)]
    .join(', ')
    .replace(', ', ' ')
}

/** A frame's fields, and its bytes on a second line. Bytes that are no frame stand alone. */
export function frameText(bytes: Uint8Array): string {
  try {
    return `${fieldsText(bytes)}\n${hexOf(bytes)}`
  } catch {
    return hexOf(bytes)
  }
}
