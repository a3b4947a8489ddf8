import type { MachineExit } from '../life/machine-exit.ts'
import type { Divergence } from './replay-gate.ts'

/** Why a replay has stopped. */
export type ReplayExit =
  /** The guest or the caller has ended it, as in `pc.run`. */
  | MachineExit
  /** The replay has reached its goal. */
  | { readonly reason: 'arrived' }
  /** The recording has no more. */
  | { readonly reason: 'end-of-recording' }
  /** The replay is not the run that was recorded. */
  | ({ readonly reason: 'diverged' } & Divergence)
