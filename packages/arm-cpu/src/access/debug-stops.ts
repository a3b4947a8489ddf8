import type { DebugPlaces, DebugPoints, Turn } from '@retrap/engine'
import type { ArmExit } from './state-exits.ts'
import { PSTATE_NRW } from '../state/pstate.ts'
import { S_FAULT_ADDRESS, S_FAULT_SYNDROME, S_PC } from '../state/state-layout.ts'
import type { SystemState } from '../state/system-state.ts'

/**
 * A debugger's requests to one processor. Without a debugger the hooks are absent, and generated code contains no checks for
 * them.
 */
export interface DebugHooks {
  /** Breakpoints and watchpoints. */
  readonly points: DebugPoints
  /** Device memory and exceptions to stop at. */
  readonly places: DebugPlaces
  /** Whether the debugger steps: instructions are executed one at a time. */
  readonly stepping: boolean
  /** Interrupts are held off. */
  readonly holdsInterrupts: boolean
  /** Whether to stop before the instruction at the program counter. @param lo - of Thumb without bit 0 @param cost - of the processor */
  stopsAt(lo: number, hi: number, cost: number): boolean
  /**
   * Notes an access of the instruction that is executed alone.
   *
   * @param both - whether the access reads and writes
   * @returns whether to stop before it: the instruction is given up
   */
  stopsForAccess(lo: number, hi: number, size: number, write: boolean, both: boolean): boolean
  /** An instruction has retired, or an exception or an interrupt has been taken: a step has ended. */
  executed(): void
  /** Whether to stop between two instructions: watched data was accessed, or a step has ended. */
  stopsBetween(): boolean
  /** Whether to stop before an exception is taken to EL1. */
  stopsFor(syndrome: number, addressLo: number, addressHi: number): boolean
  /** EL1 is about to take the exception that the state has, unless it is EL2's. */
  takes(): void
  /** Called when the hypervisor has to finish the instruction: its accesses are reported after that. */
  leftToHypervisor(): void
  /** The instruction has been finished, or has ended with an exception. */
  finished(hasRetired: boolean): void
}

/** Holds the debugger's hooks of one processor; null: no debugger. */
export class DebugSlot {
  hooks: DebugHooks | null = null
}

const DEBUG: ArmExit = { reason: 'debug' }
const BUDGET: ArmExit = { reason: 'budget' }

/** Decides whether a processor's run stops within its turn, as for its debugger. */
export class DebugStops {
  /** The slot with the debugger's hooks. */
  readonly slot: DebugSlot
  readonly system: SystemState
  readonly #turn: Turn
  /** The last run has ended within its turn: for the debugger, or since its budget is a part of the turn. */
  isCut = false
  /** The last run was stopped by its owner, who may go on with the turn. */
  isStopped = false

  constructor(slot: DebugSlot, system: SystemState, turn: Turn) {
    this.slot = slot
    this.system = system
    this.#turn = turn
  }

  /** Begins a run. @returns whether it continues a divided turn */
  begin(): boolean {
    const goesOn = this.isCut
    this.isCut = false
    this.isStopped = false
    return goesOn
  }

  /** The run ends. */
  stop(): ArmExit {
    this.isCut = true
    return DEBUG
  }

  /** The run ends, and the turn goes on with the next. */
  cut(): ArmExit {
    this.isCut = true
    return BUDGET
  }

  /** The run ends because its owner asks. */
  stopped(): ArmExit {
    this.isStopped = true
    return BUDGET
  }

  /** Whether the debugger steps: instructions are executed one at a time. */
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
    return hooks !== null && hooks.stopsAt(this.counterLo, this.system.word(S_PC + 4), this.#turn.cost)
  }

  /** Low half of the program counter. Bit 0 of Thumb is PSTATE.T. */
  get counterLo(): number {
    const s = this.system
    const lo = s.word(S_PC)
    return (s.pstate & PSTATE_NRW) !== 0 ? (lo & ~1) >>> 0 : lo
  }

  /** Whether to stop before the exception that the state has is taken to EL1. */
  stopsForException(): boolean {
    const { hooks } = this.slot
    const s = this.system
    return (
      hooks !== null && hooks.stopsFor(s.word(S_FAULT_SYNDROME), s.word(S_FAULT_ADDRESS), s.word(S_FAULT_ADDRESS + 4))
    )
  }
}
