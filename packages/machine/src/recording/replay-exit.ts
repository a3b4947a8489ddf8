import { MachineError } from '../errors.ts'
import type { MachineExit } from '../life/machine-exit.ts'
import type { Divergence } from './replay-gate.ts'

/** Says where a replay is not the run that was recorded, and how. */
export function describeDivergence({ after, at, difference }: Divergence): string {
  const where = `after instruction ${after}, and it was found at ${at}`
  return `the run is another one than was recorded, from somewhere ${where}: ${difference}`
}

/** Says that an instruction is before what is left of a recording. */
export const droppedBefore = (begin: number, instruction: number): MachineError =>
  new MachineError('ERR_OPTION', `instruction ${instruction}: what is left of the recording begins at ${begin}`)

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
