/*
 * A board whose models run in another thread. Besides responses, it sends the machine notices as messages: a kind (u8), and
 * bytes.
 */
import { concatenate } from '@retrap/basics'

/** To the machine: number of a serial port (u8), and the guest's output. */
export const TRANSMIT = 1
/** To the machine: a ShadowRange, as JSON. */
export const SHADOW = 2
/** To the board: number of a serial port (u8), and bytes for the guest. */
export const RECEIVE = 3
/** To the board: PCI device, pin and level of a function that lives elsewhere. */
export const PIN = 4
/** To the board: flush held output. */
export const FLUSH = 5
/** To the machine: number of a serial port (u8), and number of bytes for the guest that its UART has taken (u32). */
export const TAKEN = 6
/** To the board: number of a device (u8), and events for it, as JSON. */
export const INPUT = 7
/** To the machine: number of a device (u8), and number of events that its model has taken (u8). */
export const INPUT_TAKEN = 8
/** To the machine: the keyboard's lamps, as bits (u8). */
export const LEDS = 9
/** To the machine: the kind of the pointer (u8). */
export const POINTER = 10

export const KEYBOARD = 0
export const MOUSE = 1
export const POINTERS = ['none', 'relative', 'absolute'] as const

/** To the machine: an EcamPlacement or null, as JSON. */
export const ECAM = 11

/** To the board: the power button is pressed. To the machine: whether the guest has asked for its event (u8). */
export const POWER_BUTTON = 12

/** From the machine: the sleep button is pressed. */
export const SLEEP_BUTTON = 18

/** To the machine: whether address line 20 works (u8). */
export const A20 = 13

/** To the machine: the guest's write to `etc/ramfb`. */
export const RAMFB = 14

/** To the machine: the guest asks to sleep in S3. */
export const SLEEP = 15

/** To the board: a key is pressed, which wakes the guest. To the machine, which sleeps: wake up. */
export const WAKE = 16

/** To the machine: samples of the PC speaker, 16 bits each. */
export const SPEAKER = 17

/** Builds a message from its kind and bytes, or the same for a numbered port. */
export function message(kind: number, bytes: Uint8Array): Uint8Array {
  return concatenate([[kind], bytes])
}
