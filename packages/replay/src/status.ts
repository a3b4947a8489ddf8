// How an access ended, or why it has not: one enumeration for everything between a processor and a device. Generated code has
// these numbers in it, and the engine numbers the ends of instructions after them.

/** The access has been made: a read has its data. */
export const STATUS_DONE = 0
/** The guest has an exception, which the processor's state describes; nothing else has changed. */
export const STATUS_FAULT = 1
/** Another party has to act first, such as a device or a pager: nothing has changed, and the same access will be repeated. */
export const STATUS_RETRY = 2
/**
 * Nothing has been done. As an access's result: the instruction starts again, with a logged pass that makes the access. In a
 * log's record: the access is still to be made.
 */
export const STATUS_RESTART = 3
/** A contract is broken, by the emulator or by a device model: the run ends with an error, or the domain stops. */
export const STATUS_ERROR = 12
/** No party answers at the address: reads give ones and writes are dropped, unless the architecture has an exception for it. */
export const STATUS_UNHANDLED = 13

/** A status from the constants above. */
export type AccessStatus =
  | typeof STATUS_DONE
  | typeof STATUS_FAULT
  | typeof STATUS_RETRY
  | typeof STATUS_RESTART
  | typeof STATUS_ERROR
  | typeof STATUS_UNHANDLED
