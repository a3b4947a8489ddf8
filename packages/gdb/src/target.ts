import type { RegisterSet } from './register-set.ts'

/** Numbers of signals in the protocol (gdb's include/gdb/signals.def). */
export const Signal = { INT: 2, ILL: 4, TRAP: 5, ABRT: 6, FPE: 8, BUS: 10, SEGV: 11 } as const

/** Why a target has stopped. */
export interface TargetStop {
  /** The processor that the stop is about, from 0. */
  readonly cpu: number
  /** A number of {@link Signal}. */
  readonly signal: number
  /** A breakpoint at the program counter. */
  readonly breakpoint?: 'software' | 'hardware'
  /** A watchpoint, with the address that was accessed. */
  readonly watch?: { readonly kind: WatchpointKind; readonly address: bigint }
  /** A recording has no more, in the direction of the last command. */
  readonly replayLog?: 'begin' | 'end'
  /** A message for the user, shown before the stop. */
  readonly message?: string
}

/** Accesses that a watchpoint is for. */
export type WatchpointKind = 'write' | 'read' | 'access'

/** The code that a processor executes. */
export interface TargetCode {
  /** Linear address of the next instruction. */
  readonly address: bigint
  /** Linear return addresses of its callers, as far as they are found; the innermost first. */
  readonly callers: readonly bigint[]
  /** The x86 mode by bits, or one of Arm's instruction sets. */
  readonly set: 'x86-16' | 'x86-32' | 'x86-64' | 'a64' | 'a32' | 'thumb'
}

/** How a processor resumes. */
export interface CpuAction {
  /** `stay`: the processor does not run while others do. */
  readonly action: 'continue' | 'step' | 'stay'
  /** The signal that it was stopped with is passed on: a fault is delivered. */
  readonly signal: number
}

/** Rules for stepping. */
export interface StepRules {
  /** Interrupts are held off during a step. */
  readonly holdInterrupts: boolean
}

/** A machine that can be debugged. Addresses are linear unless stated otherwise. */
export interface GdbTarget {
  /** Registers. */
  readonly registers: RegisterSet
  /** Number of processors. */
  readonly cpus: number
  /** Describes a processor for people: `CPU 0, halted`. */
  describeCpu(cpu: number): string
  /** Stops the machine if it runs, and reports the stop to `stopped`; no effect if it is stopped already. */
  stop(): void
  /** Whether no processor executes. */
  readonly isStopped: boolean
  /** Why the target has stopped last. */
  readonly lastStop: TargetStop
  /** Resumes processors by number. */
  resume(actions: readonly CpuAction[], rules: StepRules): void
  /** Goes backwards, for a processor: until a breakpoint or watchpoint, or by one instruction. Absent: it cannot. */
  reverse?(action: 'continue' | 'step', cpu: number): void
  /** Sets the listener that is notified of each stop; null: none. */
  onStop(listener: ((stop: TargetStop) => void) | null): void
  /** Reads a register by name; undefined if it is not available. */
  readRegister(cpu: number, name: string): bigint | undefined
  /** Writes a register. @returns false if impossible, with nothing changed */
  writeRegister(cpu: number, name: string, value: bigint): boolean
  /** Reads memory of a processor without side effects. @returns how many bytes were read */
  readMemory(cpu: number, address: bigint, into: Uint8Array): number
  /** Writes memory. @returns how many bytes were written */
  writeMemory(cpu: number, address: bigint, bytes: Uint8Array): number
  /** Reads memory at a guest-physical address, like `readMemory`. */
  readPhysical(address: bigint, into: Uint8Array): number
  /** Writes memory at a guest-physical address, like `writeMemory`. */
  writePhysical(address: bigint, bytes: Uint8Array): number
  /** Adds a breakpoint. @returns false at the limit */
  addBreakpoint(address: bigint): boolean
  /** Removes a breakpoint. */
  removeBreakpoint(address: bigint): void
  /** Adds a watchpoint. @returns false at the limit, or for an unsupported length */
  addWatchpoint(address: bigint, length: number, kind: WatchpointKind): boolean
  /** Removes a watchpoint. */
  removeWatchpoint(address: bigint, length: number, kind: WatchpointKind): void
  /** The code that a processor executes, for programs that show more than gdb asks for. Absent: it is not known. */
  readonly code?: ((cpu: number) => TargetCode) | undefined
  /** Executes a user's `monitor` command. @returns its output */
  monitor(cpu: number, command: string): Promise<string>
  /** Ends the machine. */
  kill(): void
  /** Called when the client has disconnected: removes its settings. @param resumes - whether the machine resumes */
  detach(resumes: boolean): void
}
