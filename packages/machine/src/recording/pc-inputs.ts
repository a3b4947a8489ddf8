import type { InputBackend } from '@retrap/device'
import type { OutsideInputs, X86Domain } from '@retrap/hvm'
import type { PcOptions } from '../pc-options.ts'
import type { PcSnapshotState } from '../pc-snapshot.ts'

/** A machine as its gate sees it. */
export interface GatedMachine {
  /** Its inside. */
  readonly domain: X86Domain
  /** Does something while no vCPU executes, between two instructions; see `MachineLife.pause`. */
  pause<T>(action: () => Promise<T>): Promise<T>
  /**
   * Saves it but for the contents of its RAM, while no vCPU executes.
   *
   * @param atRest - called at the instant that is saved: what it reads of RAM belongs to the state
   */
  saveState(deadlineMs: number, atRest: () => void): Promise<PcSnapshotState>
}

/** Stands between a PC and what is outside of it, so that inputs enter at instants of their own. See {@link recordPc}. */
export interface PcInputs {
  /** Says when inputs enter. */
  readonly gate: OutsideInputs
  /** Takes the machine, when it is made. */
  start(machine: GatedMachine): void
  /** Puts itself before all back ends of the options. */
  options(options: PcOptions): PcOptions
  /** Puts itself before the input of a serial port. @returns takes bytes of the other end */
  serial(port: number, receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void
  /** Puts itself before a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend
  /** Puts itself before a button. @returns presses it, and resolves when that has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean>
}
