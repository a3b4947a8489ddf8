import type { Turn } from '@retrap/engine'
import type { DebugSlot } from './debug-hooks.ts'
import type { ArmExit } from './exit.ts'
import { PSTATE_NRW } from './pstate.ts'
import { S_FAULT_ADDRESS, S_FAULT_SYNDROME, S_PC } from './state-layout.ts'
import type { SystemState } from './system/system-state.ts'

const DEBUG: ArmExit = { reason: 'debug' }

/** Where a processor's run stops for its debugger, if it has one. */
export class DebugStops {
  /** Where the debugger has its hooks. */
  readonly slot: DebugSlot
  readonly #system: SystemState
  readonly #turn: Turn
  /** The last run has ended for the debugger. */
  #isStopped = false

  constructor(slot: DebugSlot, system: SystemState, turn: Turn) {
    this.slot = slot
    this.#system = system
    this.#turn = turn
  }

  /** A run begins. @returns whether it goes on with a turn that has been cut in two */
  begin(): boolean {
    const goesOn = this.#isStopped
    this.#isStopped = false
    return goesOn
  }

  /** The run ends. */
  stop(): ArmExit {
    this.#isStopped = true
    return DEBUG
  }

  /** A step is under way: instructions are executed one at a time. */
  get stepping(): boolean {
    return this.slot.hooks?.stepping === true
  }

  /** Interrupts are held off. */
  get holdsInterrupts(): boolean {
    return this.slot.hooks?.holdsInterrupts === true
  }

  /** Whether to stop between two instructions. */
  stopsBetween(): boolean {
    const { hooks } = this.slot
    return hooks !== null && hooks.stopsBetween()
  }

  /** Whether to stop before the next instruction. */
  stopsHere(): boolean {
    const { hooks } = this.slot
    if (hooks === null) return false
    const s = this.#system
    const lo = s.word(S_PC)
    // Bit 0 of Thumb is PSTATE.T.
    const isAArch32 = (s.pstate & PSTATE_NRW) !== 0
    return hooks.stopsAt(isAArch32 ? (lo & ~1) >>> 0 : lo, s.word(S_PC + 4), this.#turn.cost)
  }

  /** Whether to stop before the exception that the state has is taken to EL1. */
  stopsForException(): boolean {
    const { hooks } = this.slot
    const s = this.#system
    return (
      hooks !== null && hooks.stopsFor(s.word(S_FAULT_SYNDROME), s.word(S_FAULT_ADDRESS), s.word(S_FAULT_ADDRESS + 4))
    )
  }
}
