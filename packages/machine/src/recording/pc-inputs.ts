import type { InputBackend } from '@retrap/device'
import type { OutsideInputs, X86Domain } from '@retrap/hvm'
import type { PcOptions } from '../pc-options.ts'

/** Stands between a PC and what is outside of it, so that inputs enter at instants of their own. See {@link recordPc}. */
export interface PcInputs {
  /** Says when inputs enter. */
  readonly gate: OutsideInputs
  /** Takes the machine's domain, when it is made. */
  start(domain: X86Domain): void
  /** Puts itself before all back ends of the options. */
  options(options: PcOptions): PcOptions
  /** Puts itself before the input of a serial port. @returns takes bytes of the other end */
  serial(port: number, receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void
  /** Puts itself before a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend
  /** Puts itself before a button. @returns presses it, and resolves when that has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean>
}
