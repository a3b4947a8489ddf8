import type { InvalidatedFrames } from '@retrap/device'

/** What servers are asked to drop. */
export interface InvalidationNotice {
  /** Number of the last change to the guest's map that it covers; the caller's own count. */
  readonly epoch: number
  /** The frames concerned, for servers that ask for them; null: all. The request itself, by the ABI, says all. */
  readonly frames: readonly InvalidatedFrames[] | null
}

/** Everything, in no epoch. */
export const INVALIDATE_ALL: InvalidationNotice = { epoch: 0, frames: null }
