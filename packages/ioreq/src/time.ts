import type { Clock, Word64 } from '@retrap/device'

/** Reads a clock for a frame. */
export function timeOf(clock: Clock): Word64 {
  const now = { lo: 0, hi: 0 }
  clock.read(now)
  return now
}
