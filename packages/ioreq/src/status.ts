/** The access has been made; a read's answer is in `lo` and `hi` of the dispatcher. */
export const IO_DONE = 0
/** The request is with its server; `onComplete` will tell when the answer is there. */
export const IO_RETRY = 1
/** Nothing has happened: this access may only be made by `submit`, from a logged pass. */
export const IO_LOG = 2
/** Nobody answers there: a read gave all ones, a write was dropped. */
export const IO_UNHANDLED = 3
/** The device model broke its contract and the policy is `crash`: the domain must stop. `onFailure` has been told. */
export const IO_FAILED = 4
