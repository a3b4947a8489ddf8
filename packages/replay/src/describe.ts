import type { AccessKindName, AccessStateName } from './kinds.ts'

/** An access in a form for people: messages and dumps. */
export interface AccessDescription {
  /** Index of the record. */
  readonly ordinal: number
  /** Kind of the access. */
  readonly kind: AccessKindName
  /** Hexadecimal. */
  readonly address: string
  /** In bytes. */
  readonly size: number
  /** Tag that tells it from accesses that look alike. */
  readonly tag: number
  /** State of the record. */
  readonly state: AccessStateName
  /** Hexadecimal bytes in memory order, once there are any. */
  readonly data?: string
}

/** `0x…` of a lo/hi pair. */
export function hexPair(lo: number, hi: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`
}

/** Bytes as hexadecimal digits, in memory order. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The inverse of {@link hexBytes}; undefined if the text is not that. */
export function bytesOfHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(i * 2, i * 2 + 2), 16))
}
