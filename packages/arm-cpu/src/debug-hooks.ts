import type { DebugPoints } from '@retrap/engine'
import type { SystemState } from './system/system-state.ts'

/**
 * A debugger's requests to one processor, as the processor sees them. Without a debugger there is none, and the checks for it
 * lie outside generated code.
 */
export interface DebugHooks {
  /** Breakpoints, and data that is watched. */
  readonly points: DebugPoints
  /** A step is under way: instructions are executed one at a time. */
  readonly stepping: boolean
  /** Interrupts are held off. */
  readonly holdsInterrupts: boolean
  /** Whether to stop before the instruction at the program counter. @param lo - of Thumb without bit 0 @param cost - of the processor */
  stopsAt(lo: number, hi: number, cost: number): boolean
  /**
   * Notes an access of the instruction that is executed alone.
   *
   * @param both - it reads and writes
   * @returns whether to stop before it: the instruction is given up
   */
  stopsForAccess(lo: number, hi: number, size: number, write: boolean, both: boolean): boolean
  /** An instruction has retired, or an exception or an interrupt has been taken: a step has ended. */
  executed(): void
  /** Whether to stop between two instructions: watched data was accessed, or a step has ended. */
  stopsBetween(): boolean
  /** Whether to stop before an exception is taken to EL1. */
  stopsFor(syndrome: number, addressLo: number, addressHi: number): boolean
  /** The hypervisor has to finish the instruction: what it has accessed counts when that is done. */
  leftToHypervisor(): void
  /** The instruction has been finished, or has ended with an exception. */
  finished(hasRetired: boolean): void
}

/** Holds the debugger's hooks into one processor; null: there is no debugger. */
export class DebugSlot {
  /** The hooks. */
  hooks: DebugHooks | null = null
}

/** The parts of a processor's debugger. */
export interface DebugParts {
  readonly slot: DebugSlot
  readonly system: SystemState
}
