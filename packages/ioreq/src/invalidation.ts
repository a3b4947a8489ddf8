import type { InvalidatedFrames } from '@retrap/device'
import type { IoreqServer } from './server.ts'

/** What servers are asked to drop. */
export interface InvalidationNotice {
  /** Number of the last change to the guest's map that it covers; the caller's own count. */
  readonly epoch: number
  /** The frames concerned, for servers that ask for them; null: all. The request itself, by the ABI, says all. */
  readonly frames: readonly InvalidatedFrames[] | null
}

/** Everything, in no epoch. */
export const INVALIDATE_ALL: InvalidationNotice = { epoch: 0, frames: null }

/** Hears how servers come, go and acknowledge: who waits for all of them has then to look again. */
export interface InvalidationListener {
  /** It has dropped what the notice of this epoch named, or is gone with all that it had mapped. */
  acknowledged(server: IoreqServer, epoch: number): void
  /** It has been created, enabled, disabled or destroyed. */
  serverChanged(server: IoreqServer): void
}
