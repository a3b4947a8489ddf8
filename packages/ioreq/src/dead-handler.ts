import type { RangeHandler } from '@retrap/device'

/** Answers for a model that was detached: ones on reads, writes dropped. */
export const DEAD_HANDLER: RangeHandler = {
  read: () => 0xffff_ffff,
  write: () => {},
  read64: (_offset, into) => {
    into.lo = 0xffff_ffff
    into.hi = 0xffff_ffff
  },
  write64: () => {},
}
