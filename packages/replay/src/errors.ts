import type { AccessKindName, AccessStateName } from './kinds.ts'

/** Failures of a log; all but `ERR_SAVED` and `ERR_STORAGE` are broken invariants of the code above it. */
export type ReplayErrorCode =
  /** A replayed access differs from its record, or a pass ended before it repeated all records. */
  | 'ERR_MISMATCH'
  /** More accesses than the largest instruction makes. */
  | 'ERR_CAPACITY'
  /** A call out of order: an access outside an instruction, a second pending access, an index that does not exist. */
  | 'ERR_STATE'
  /** An access that the log has no room for: a size of 0 or above 64 bytes. */
  | 'ERR_SIZE'
  /** Saved data of another version, or damaged. */
  | 'ERR_SAVED'
  /** The storage given is too small or misaligned. */
  | 'ERR_STORAGE'

/** Thrown by {@link AccessLog}. */
export class ReplayError extends Error {
  /** Name of the class. */
  override readonly name: string = 'ReplayError'
  /** Code to switch on. */
  readonly code: ReplayErrorCode

  constructor(code: ReplayErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * A replay left its path: the instruction made another access than the time before. This is a bug of ours and stops the
 * domain, because a device may already have acted on the recorded access.
 */
export class ReplayMismatchError extends ReplayError {
  /** Name of the class. */
  override readonly name: string = 'ReplayMismatchError'
  /** The access in the log; undefined where the pass made an access after the log said it was through. */
  readonly recorded: AccessDescription
  /** The access made in this pass; undefined if the pass ended without repeating `recorded`. */
  readonly made: AccessDescription | undefined

  constructor(recorded: AccessDescription, made: AccessDescription | undefined) {
    super(
      'ERR_MISMATCH',
      `a replayed instruction ${made === undefined ? 'ended' : `made the access ${text(made)}`} ` +
        `where its log holds ${text(recorded)}`,
    )
    this.recorded = recorded
    this.made = made
  }
}

function text(access: AccessDescription): string {
  const data = access.data === undefined ? '' : ` data ${access.data}`
  return (
    `#${access.ordinal} ${access.kind} ${access.address} size ${access.size} tag 0x${access.tag.toString(16)}` +
    ` ${access.state}${data}`
  )
}

/** An access in a form for people: messages and dumps. */
export interface AccessDescription {
  /** Index of the record. */
  readonly ordinal: number
  readonly kind: AccessKindName
  /** Hexadecimal. */
  readonly address: string
  /** Size in bytes. */
  readonly size: number
  /** Tag that distinguishes similar accesses. */
  readonly tag: number
  /** State of the record. */
  readonly state: AccessStateName
  /** Data as hexadecimal bytes in memory order; absent before any. */
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
