import type { Instant } from '@retrap/recording'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { MachineStop, Removable, StopHandler } from '../debugger/stop-points.ts'
import { MachineError } from '../errors.ts'
import type { MachineExit } from '../lifecycle/machine-exit.ts'
import type { Divergence } from './replay-gate.ts'

/** Describes where and how a replay differs from the recorded run. */
export function describeDivergence({ after, at, difference }: Divergence): string {
  const where = `after instruction ${after}, and it was found at ${at}`
  return `the run is another one than was recorded, from somewhere ${where}: ${difference}`
}

/** Returns the sentence for an instruction before the remaining recording. */
export const droppedBefore = (begin: number, instruction: number): MachineError =>
  new MachineError('ERR_OPTION', `instruction ${instruction}: what is left of the recording begins at ${begin}`)

/** An instant behind every other one. */
export const NEVER: Instant = { instructions: Infinity, round: 0 }

/** Why a replay has stopped. */
export type ReplayExit =
  /** The guest or the caller has ended it, as in `pc.run`. */
  | MachineExit
  /** The replay has reached its goal. */
  | { readonly reason: 'arrived' }
  /** The replay is at the recording's end. */
  | { readonly reason: 'end-of-recording' }
  /** The replay is not the run that was recorded. */
  | ({ readonly reason: 'diverged' } & Divergence)

/** A breakpoint or a watchpoint of a replay, set on each of its machines. */
export interface Stopper {
  set(debug: MachineDebugger, handler: StopHandler): Removable
}

/** Stops that count, forwards and backwards. */
type CountedStop = Extract<MachineStop, { readonly kind: (typeof COUNTED)[number] }>

const COUNTED = ['breakpoint', 'watch', 'port', 'mmio', 'msr', 'fault', 'exception', 'handler'] as const
/** Kinds of stops that are reported after their instruction, or after an iteration of it. */
export const ACCESSES: ReadonlySet<string> = /*#__PURE__*/ new Set<CountedStop['kind']>([
  'watch',
  'port',
  'mmio',
  'msr',
])

export const isCounted = (stop: MachineStop): stop is CountedStop => (COUNTED as readonly string[]).includes(stop.kind)

/** A stop of a machine. */
export interface Hit {
  readonly told: CountedStop
  /** Instructions retired at the stop. */
  readonly at: number
  /** The place before the stop's instruction. */
  readonly before: number
}

/**
 * Adds a hit to its place's list; a later place starts a new list. An instruction's first access of a kind counts, as forwards.
 */
export function withHit(hits: Hit[], hit: Hit): Hit[] {
  if (hits[0]?.before !== hit.before) return [hit]
  const { kind, cpu } = hit.told
  const isTold = ACCESSES.has(kind) && hits.some(({ told }) => told.kind === kind && told.cpu === cpu)
  return isTold ? hits : [...hits, hit]
}
