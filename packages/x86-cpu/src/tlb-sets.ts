/**
 * Access modes, each with a TLB set of its own: what selects an access's permissions beside the guest's page tables and
 * the state that flushes the TLB when it changes.
 */
export const TLB_USER = 0
/** Supervisor, where SMAP does not apply: CR4.SMAP = 0, or RFLAGS.AC = 1. */
export const TLB_SUPERVISOR = 1
/** Supervisor under SMAP. */
export const TLB_SUPERVISOR_SMAP = 2
/** The TLB's miss set, which holds nothing: logged passes, data breakpoints, alignment checks. */
export const TLB_MISS = 3
/** Access modes whose translations are kept. */
export const TLB_MODES = 3
