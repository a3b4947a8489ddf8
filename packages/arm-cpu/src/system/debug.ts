import { PSTATE_NRW, PSTATE_SS, PSTATE_T } from '../state/pstate.ts'
import { S_PC, S_STEPPED } from '../state/state-layout.ts'
import { BREAKPOINT, softwareStep } from '../state/syndrome.ts'
import { isDebugEnabled } from './watchpoints.ts'
import type { Exceptions } from './exceptions.ts'
import { placeOf, S_CONTEXTIDR_EL1, S_MDSCR_EL1 } from '../state/places.ts'
import { BREAKPOINTS, CONTEXT_BREAKPOINTS } from './register-table.ts'
import type { SystemState } from '../state/system-state.ts'

/** MDSCR_EL1: software step; breakpoints and watchpoints. */
const MDSCR_SS = 1
const MDSCR_MDE = 1 << 15

/** DBGBCRn_EL1: enabled; at EL1, at EL0. */
const BREAKPOINT_ENABLED = 1
const BREAKPOINT_EL1 = 1 << 1
const BREAKPOINT_EL0 = 1 << 2
const KIND_SHIFT = 20
/** BAS: the bytes of a word that an instruction may begin at. */
const BYTES_SHIFT = 5
/** Kinds of breakpoints: an address; an address in a linked context; a context; a context for links. */
const KIND_ADDRESS = 0
const KIND_LINKED_ADDRESS = 1
const KIND_CONTEXT = 2
const KIND_LINKED_CONTEXT = 3
/** Bit position of the linked breakpoint's number. */
const LINK_SHIFT = 16

/** The last ones know contexts (ID_AA64DFR0_EL1.CTX_CMPs); of others a context is reserved: they are as if disabled. */
const FIRST_OF_CONTEXTS = BREAKPOINTS - CONTEXT_BREAKPOINTS

/** Bits of S_STEPPED: an instruction was stepped over; it was a load-exclusive. */
const STEPPED = 1
const STEPPED_EXCLUSIVE = 2

const CONTROLS: readonly number[] = Array.from({ length: BREAKPOINTS }, (_, i) => placeOf(`dbgbcr${i}_el1`))
const VALUES: readonly number[] = Array.from({ length: BREAKPOINTS }, (_, i) => placeOf(`dbgbvr${i}_el1`))

/** The event before the next instruction: none; it is executed alone; an exception, which the state has. */
export const DEBUG_NOTHING = 0
export const DEBUG_ALONE = 1
export const DEBUG_RAISED = 2

/** Whether an instruction is a load-exclusive of A64, A32 or T32. */
function isLoadExclusive(word: number, status: number): boolean {
  // o2, bit 23, is 0, and L, bit 22, is 1.
  if ((status & PSTATE_NRW) === 0) return (word & 0x3fc0_0000) === 0x0840_0000
  if ((status & PSTATE_T) === 0) return (word & 0x0f90_0ef0) === 0x0190_0e90
  return word >>> 20 === 0xe85 || (word & 0xfff0_0040) >>> 0 === 0xe8d0_0040
}

/**
 * Software step, and breakpoints.
 *
 * Source: Arm ARM (DDI 0487) D2.8 "Breakpoint exceptions", D2.12 "Software Step exceptions".
 */
export class Debug {
  readonly #state: SystemState
  readonly #exceptions: Exceptions

  constructor(state: SystemState, exceptions: Exceptions) {
    this.#state = state
    this.#exceptions = exceptions
  }

  /** Returns the event before the next instruction: `DEBUG_*`. */
  check(): number {
    const s = this.#state
    if (!s.debugs || !isDebugEnabled(s, s.pstate)) return DEBUG_NOTHING
    const control = s.word(S_MDSCR_EL1)
    const steps = (control & MDSCR_SS) !== 0
    if (steps && (s.pstate & PSTATE_SS) === 0) {
      const stepped = s.word(S_STEPPED)
      s.setWord(S_STEPPED, 0)
      this.#exceptions.raise(softwareStep((stepped & STEPPED) !== 0, (stepped & STEPPED_EXCLUSIVE) !== 0))
      return DEBUG_RAISED
    }
    const breaks = (control & MDSCR_MDE) !== 0
    if (breaks && this.#isBreakpoint()) {
      this.#exceptions.raise(BREAKPOINT)
      return DEBUG_RAISED
    }
    return steps || breaks ? DEBUG_ALONE : DEBUG_NOTHING
  }

  /** An instruction that was executed alone has retired. @param word - the instruction @param status - PSTATE before it */
  stepped(word: number, status: number): void {
    const s = this.#state
    if ((s.pstate & PSTATE_SS) === 0) return
    s.setWord(S_STEPPED, STEPPED | (isLoadExclusive(word, status) ? STEPPED_EXCLUSIVE : 0))
    s.setPstate(s.pstate & ~PSTATE_SS)
  }

  #isBreakpoint(): boolean {
    const s = this.#state
    const atLevel = s.level === 0 ? BREAKPOINT_EL0 : BREAKPOINT_EL1
    for (const [i, place] of CONTROLS.entries()) {
      const control = s.word(place)
      const isEnabled = (control & BREAKPOINT_ENABLED) !== 0 && (control & atLevel) !== 0
      if (isEnabled && this.#matches(i, control)) return true
    }
    return false
  }

  #matches(number: number, control: number): boolean {
    const value = VALUES[number]!
    switch ((control >>> KIND_SHIFT) & 15) {
      case KIND_ADDRESS:
        return this.#isAt(control, value)
      case KIND_LINKED_ADDRESS:
        return this.#isAt(control, value) && this.#isInContext((control >>> LINK_SHIFT) & 15)
      case KIND_CONTEXT:
        return number >= FIRST_OF_CONTEXTS && this.#state.word(value) === this.#state.word(S_CONTEXTIDR_EL1)
      default:
        return false
    }
  }

  /** Whether the program counter matches a breakpoint's address, whose upper bits extend the sign. */
  #isAt(control: number, value: number): boolean {
    const s = this.#state
    const counter = s.word(S_PC)
    // Of AArch32 a halfword may be meant.
    const bytes = (control >>> BYTES_SHIFT) & 15
    const isHalf = (s.pstate & PSTATE_NRW) !== 0 && (counter & 1) !== 0
    if (isHalf && (bytes & ((counter & 2) === 0 ? 3 : 12)) === 0) return false
    return ((s.word(value) ^ counter) & ~3) === 0 && ((s.word(value + 4) ^ s.word(S_PC + 4)) & 0x1_ffff) === 0
  }

  /** Whether CONTEXTIDR_EL1 matches a linked context breakpoint. */
  #isInContext(number: number): boolean {
    const s = this.#state
    const place = CONTROLS[number]
    if (place === undefined || number < FIRST_OF_CONTEXTS) return false
    const control = s.word(place)
    if ((control & BREAKPOINT_ENABLED) === 0 || ((control >>> KIND_SHIFT) & 15) !== KIND_LINKED_CONTEXT) return false
    return s.word(VALUES[number]!) === s.word(S_CONTEXTIDR_EL1)
  }
}
