import type { AccessDescription } from './describe.ts'

/** Failures of a log; all but `ERR_SAVED` and `ERR_STORAGE` are broken invariants of the code above it. */
export type ReplayErrorCode =
  /** A replayed access differs from its record, or a pass ended before it repeated all of them. */
  | 'ERR_MISMATCH'
  /** More accesses than the largest instruction makes. */
  | 'ERR_CAPACITY'
  /** A call out of order: an access outside an instruction, a second pending access, an index that is not there. */
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
  /** The access of this pass instead; undefined where it ended without repeating `recorded`. */
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
