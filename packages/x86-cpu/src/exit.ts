/** Why {@link Vcpu.run} returned. */
export type Exit =
  /** HLT: nothing to do until an event. */
  | { readonly reason: 'hlt' }
  /** MWAIT: nothing to do until the monitored line is written, or an event comes. */
  | { readonly reason: 'mwait' }
  /** A device has been asked and has not answered; run again when it has. */
  | { readonly reason: 'blocked' }
  /**
   * Much host time may have passed, in instructions that are slow here: look at the clock. The turn goes on with the rest
   * of its budget.
   */
  | { readonly reason: 'yield' }
  /** The budget is used up, or someone asked for attention. */
  | { readonly reason: 'budget' }
  /** PAUSE in what looks like a spin loop: another vCPU should run. */
  | { readonly reason: 'pause' }
  /** Triple fault: shutdown, until INIT or reset. */
  | { readonly reason: 'shutdown' }
  /** After INIT: waits for a start-up IPI. */
  | { readonly reason: 'wait-for-sipi' }
  /** A debugger has it stop; see `DebugControl`. */
  | { readonly reason: 'debug' }
  /** A broken invariant of the CPU itself. */
  | { readonly reason: 'error'; readonly error: unknown }

// Exits that say no more than their reason: made once.
export const EXIT_BUDGET: Exit = { reason: 'budget' }
export const EXIT_HLT: Exit = { reason: 'hlt' }
export const EXIT_MWAIT: Exit = { reason: 'mwait' }
export const EXIT_BLOCKED: Exit = { reason: 'blocked' }
export const EXIT_PAUSE: Exit = { reason: 'pause' }
export const EXIT_SHUTDOWN: Exit = { reason: 'shutdown' }
export const EXIT_YIELD: Exit = { reason: 'yield' }
export const EXIT_DEBUG: Exit = { reason: 'debug' }
export const EXIT_WAIT: Exit = { reason: 'wait-for-sipi' }

/** Makes the exit of a broken invariant. */
export function failed(error: unknown): Exit {
  return { reason: 'error', error }
}
