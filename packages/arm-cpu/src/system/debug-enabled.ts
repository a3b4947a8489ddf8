import { PSTATE_D, PSTATE_EL1, PSTATE_NRW, PSTATE_SS } from '../pstate.ts'
import { MDCR_TDE } from './controls.ts'
import { S_MDCR_EL2, S_MDSCR_EL1, S_OSLSR_EL1 } from './places.ts'
import type { SystemState } from './system-state.ts'

/** MDSCR_EL1: software step; debug exceptions of EL1 itself. */
const MDSCR_SS = 1
const MDSCR_KDE = 1 << 13
/** OSLSR_EL1: the OS lock is locked. */
const OSLSR_LOCKED = 1 << 1

/** Whether debug exceptions are enabled with a PSTATE. */
export function isDebugEnabled(s: SystemState, pstate: number): boolean {
  if ((s.word(S_OSLSR_EL1) & OSLSR_LOCKED) !== 0) return false
  const isLower = (pstate & PSTATE_NRW) !== 0 || (pstate & PSTATE_EL1) === 0
  // Exceptions of EL0, and all that are routed to EL2, are taken to a higher level: no mask of this one holds them back.
  if (isLower || (s.word(S_MDCR_EL2) & MDCR_TDE) !== 0) return true
  return (s.word(S_MDSCR_EL1) & MDSCR_KDE) !== 0 && (pstate & PSTATE_D) === 0
}

/**
 * PSTATE.SS after an exception return: it counts where debug exceptions become enabled by the return.
 *
 * @param next - PSTATE after it, but for that bit
 * @param saved - SPSR_EL1
 *
 * Source: shared pseudocode "DebugExceptionReturnSS".
 */
export function returnedStep(s: SystemState, next: number, saved: number): number {
  if ((s.word(S_MDSCR_EL1) & MDSCR_SS) === 0) return 0
  return !isDebugEnabled(s, s.pstate) && isDebugEnabled(s, next) ? saved & PSTATE_SS : 0
}
