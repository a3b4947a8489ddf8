import { WATCHPOINT_CONTROLS, WATCHPOINT_VALUES, S_MDCR_EL2, S_MDSCR_EL1, S_OSLSR_EL1 } from '../state/places.ts'
import type { SystemState } from '../state/system-state.ts'
import { PSTATE_D, PSTATE_EL1, PSTATE_NRW, PSTATE_SS } from '../state/pstate.ts'
import { MDCR_TDE } from '../state/controls.ts'

/** DBGWCRn_EL1: enabled; at EL1, at EL0; of loads, of stores; its bytes of a doubleword; bits of the address that are ignored. */
const ENABLED = 1
const AT_EL1 = 1 << 1
const AT_EL0 = 1 << 2
const LOADS = 1 << 3
const STORES = 1 << 4
const BYTES_SHIFT = 5
const MASK_SHIFT = 24

/**
 * Watchpoints.
 *
 * Source: Arm ARM (DDI 0487) D2.10 "Watchpoint exceptions".
 */
export class Watchpoints {
  /** Address of the first byte that has matched. */
  lo = 0
  hi = 0
  readonly #state: SystemState

  constructor(state: SystemState) {
    this.#state = state
  }

  /** Whether some byte of an access is watched; the first one's address is in `lo` and `hi`. @param asEl0 - LDTR, STTR */
  matches(lo: number, hi: number, bytes: number, write: boolean, asEl0: boolean): boolean {
    const s = this.#state
    if (!isDebugEnabled(s, s.pstate)) return false
    const wanted = ENABLED | (s.level === 0 || asEl0 ? AT_EL0 : AT_EL1) | (write ? STORES : LOADS)
    for (const [i, place] of WATCHPOINT_CONTROLS.entries()) {
      const control = s.word(place)
      if ((control & wanted) !== wanted) continue
      for (let at = 0; at < bytes; at++) {
        const byte = (lo + at) >>> 0
        const high = byte < lo ? (hi + 1) >>> 0 : hi
        if (this.#isWatched(control, WATCHPOINT_VALUES[i]!, byte, high)) {
          this.lo = byte
          this.hi = high
          return true
        }
      }
    }
    return false
  }

  #isWatched(control: number, value: number, lo: number, hi: number): boolean {
    const s = this.#state
    // The upper bits extend the sign.
    if (((s.word(value + 4) ^ hi) & 0x1_ffff) !== 0) return false
    const mask = (control >>> MASK_SHIFT) & 31
    const differs = (s.word(value) ^ lo) >>> 0
    if (mask !== 0) return differs >>> mask === 0
    return differs >>> 3 === 0 && ((control >>> (BYTES_SHIFT + (lo & 7))) & 1) !== 0
  }
}

/** MDSCR_EL1: software step; debug exceptions of EL1 itself. */
const MDSCR_SS = 1
const MDSCR_KDE = 1 << 13
/** OSLSR_EL1: the OS lock is locked. */
const OSLSR_LOCKED = 1 << 1

/** Whether debug exceptions are enabled with a PSTATE. */
export function isDebugEnabled(s: SystemState, pstate: number): boolean {
  if ((s.word(S_OSLSR_EL1) & OSLSR_LOCKED) !== 0) return false
  const isLower = (pstate & PSTATE_NRW) !== 0 || (pstate & PSTATE_EL1) === 0
  // Exceptions of EL0, and all exceptions routed to EL2, go to a higher level: this level's masks do not apply.
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
