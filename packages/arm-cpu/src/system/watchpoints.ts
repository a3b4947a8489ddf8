import { isDebugEnabled } from './debug-enabled.ts'
import { WATCHPOINT_CONTROLS, WATCHPOINT_VALUES } from './places.ts'
import type { SystemState } from './system-state.ts'

/** DBGWCRn_EL1: enabled; at EL1, at EL0; of loads, of stores; its bytes of a doubleword; bits of the address that count for nothing. */
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
    // The upper bits are those of the sign.
    if (((s.word(value + 4) ^ hi) & 0x1_ffff) !== 0) return false
    const mask = (control >>> MASK_SHIFT) & 31
    const differs = (s.word(value) ^ lo) >>> 0
    if (mask !== 0) return differs >>> mask === 0
    return differs >>> 3 === 0 && ((control >>> (BYTES_SHIFT + (lo & 7))) & 1) !== 0
  }
}
