import type { DeviceContext } from '@retrap/device'

/** A keyboard or mouse at the end of the controller's cable. */
export interface Ps2Device {
  /** Connects the device: to timers of the machine, and to a listener for bytes that are ready. */
  connect(context: DeviceContext, bytesReady: () => void): void
  /** Takes a byte that the controller sends; −1: none is ready. */
  take(): number
  /** Whether `take` has a byte. */
  readonly ready: boolean
  /** Receives a byte from the controller. */
  receive(byte: number): void
}

/**
 * The self-test of a keyboard or mouse. Real ones take 300 to 500 ms, for which firmware polls: on deterministic time that
 * would be hundreds of millions of instructions.
 */
export const SELF_TEST_NS = 5e6

export const ACKNOWLEDGE = 0xfa
export const RESEND = 0xfe
export const SELF_TEST_DONE = 0xaa
