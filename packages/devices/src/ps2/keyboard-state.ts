import type { Word64 } from '@retrap/device'

/** Saved form of a PS/2 keyboard. */
export interface Ps2KeyboardState {
  /** Whether keys are looked at. */
  readonly scanning: boolean
  /** Set of scan codes, 1 to 3. */
  readonly set: number
  /** Typematic rate and delay, as the guest gave them. */
  readonly rate: number
  /** Lamps: Scroll Lock, Num Lock and Caps Lock from bit 0. */
  readonly leds: number
  /** Command that waits for its data; −1: none. */
  readonly pending: number
  /** The last byte sent, for a guest that asks for it again. */
  readonly last: number
  /** Answers to commands, which go before codes of keys. */
  readonly answers: readonly number[]
  /** Codes of keys that wait. */
  readonly codes: readonly number[]
  /** Keys that are down, by usage. */
  readonly down: readonly number[]
  /** Key that repeats; −1: none. */
  readonly repeating: number
  /** Print Screen was pressed with Alt. */
  readonly systemRequest: boolean
  /** The behaviour of keys in set 3 where a guest has changed it, by scan code. */
  readonly kinds: readonly (readonly [code: number, kind: number])[]
  /** Whether the self-test runs. */
  readonly testing: boolean
  /** Time of the next repeat, or of the end of the self-test. */
  readonly timerAt: Word64 | null
}
