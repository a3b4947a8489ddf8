import type { AccessDescription } from './errors.ts'
import type { AccessKindName } from './kinds.ts'

/**
 * The effect of an access of an instruction in the middle:
 * - `kept`: a read, a fetch or a walk's read; later passes see the same bytes, and nothing is read again
 * - `made`: A or D bits of a table, which were set once
 * - `held`: a write, which is made when the instruction retires
 * - `asked`: a device has been asked, and has not answered yet
 * - `answered`: a device has answered; it is not asked again
 * - `open`: nothing has happened yet
 */
export type AccessOutcome = 'kept' | 'made' | 'held' | 'asked' | 'answered' | 'open'

/** An access with its outcome so far. */
export interface AccessAccount extends AccessDescription {
  /** Operand of the tag: see {@link accessTag}. */
  readonly operand: number
  /** Element of the tag. */
  readonly element: number
  /** The outcome so far. */
  readonly outcome: AccessOutcome
}

/** An instruction in the middle, for people. */
export interface InstructionAccount {
  /** Number of executions from the first byte, including the present one; 0: no instruction in progress. */
  readonly passes: number
  /** The accesses that it has made, in the order of the first times. */
  readonly accesses: readonly AccessAccount[]
  /** Number of accesses that the next pass replays from the log. */
  readonly replayed: number
  /** Number of accesses that have reached a device. */
  readonly reachedDevices: number
}

/** The effect of a completed access, by kind. */
const OUTCOMES: Readonly<Record<AccessKindName, AccessOutcome>> = {
  fetch: 'kept',
  'walk-read': 'kept',
  'walk-ad-write': 'made',
  read: 'kept',
  write: 'held',
  'rom-write': 'held',
  'port-read': 'answered',
  'port-write': 'answered',
  'mmio-read': 'answered',
  'mmio-write': 'answered',
}

/** Describes the instruction at hand of a log, for people: its passes, and the effect of each access so far. */
export function accountOf(log: { readonly pass: number; dump(): readonly AccessDescription[] }): InstructionAccount {
  const accesses = log.dump().map(({ data, ...access }): AccessAccount => {
    const { kind, state, tag } = access
    const outcome = state === 'pending' ? 'asked' : state === 'new' ? 'open' : OUTCOMES[kind]
    // A read that a device has not answered has no bytes yet.
    const hasData = data !== undefined && (outcome !== 'asked' || kind.endsWith('-write'))
    return { ...access, operand: (tag >>> 16) & 0xff, element: tag & 0xffff, outcome, ...(hasData && { data }) }
  })
  const count = (...outcomes: readonly AccessOutcome[]): number =>
    accesses.filter(({ outcome }) => outcomes.includes(outcome)).length
  return {
    passes: log.pass,
    accesses,
    replayed: accesses.length - count('asked', 'open'),
    reachedDevices: count('asked', 'answered'),
  }
}
