import type * as replay from '@retrap/replay'

// How an access ended: the values of `@retrap/replay`, written out so that the bundler inlines them. V8 loads constants of other
// packages wherever they are used. Their types hold them to the one enumeration.
/** The access has been made: a read's answer is in `lo` and `hi` of the dispatcher. */
export const STATUS_DONE: typeof replay.STATUS_DONE = 0
/** The request is with its server; `onComplete` will tell when the answer is there. */
export const STATUS_RETRY: typeof replay.STATUS_RETRY = 2
/** Nothing has happened: the access takes a request, and nobody was there to wait for its answer. */
export const STATUS_RESTART: typeof replay.STATUS_RESTART = 3
/** The device model broke its contract and the policy is `crash`: the domain must stop. `onFailure` has been told. */
export const STATUS_ERROR: typeof replay.STATUS_ERROR = 12
/** No party answers there: a read gave all ones, a write was dropped. */
export const STATUS_UNHANDLED: typeof replay.STATUS_UNHANDLED = 13
