import type { DeviceContext } from '@retrap/device'

/** A keyboard or mouse at the end of the controller's cable. */
export interface Ps2Device {
  /** Is given its wires: timers of the machine, and who to tell that there are bytes. */
  connect(context: DeviceContext, bytesReady: () => void): void
  /** Takes a byte that the controller sends; −1: none is ready. */
  take(): number
  /** Whether `take` has one. */
  readonly ready: boolean
  /** Receives a byte from the controller. */
  receive(byte: number): void
}

/** From 30 to 50 µs a half of the clock, eleven bits: the middle of what the interface allows. */
export const BYTE_NS = 880_000
/**
 * The self-test of a keyboard or mouse. Real ones take 300 to 500 ms, for which firmware polls: on deterministic time that
 * would be hundreds of millions of instructions.
 */
export const SELF_TEST_NS = 5e6

export const ACKNOWLEDGE = 0xfa
export const RESEND = 0xfe
export const SELF_TEST_DONE = 0xaa

/** A first-in-first-out queue of a fixed number of bytes. */
export class ByteRing {
  readonly #bytes: Uint8Array
  #first = 0
  #count = 0

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#count
  }

  get room(): number {
    return this.#bytes.length - this.#count
  }

  /** Appends a byte. @returns false if there is no room */
  push(byte: number): boolean {
    if (this.room === 0) return false
    this.#bytes[(this.#first + this.#count++) % this.#bytes.length] = byte
    return true
  }

  /** Takes the oldest byte; −1: there is none. */
  shift(): number {
    if (this.#count === 0) return -1
    const byte = this.#bytes[this.#first]!
    this.#first = (this.#first + 1) % this.#bytes.length
    this.#count--
    return byte
  }

  clear(): void {
    this.#first = 0
    this.#count = 0
  }

  /** Takes over what `toArray` returned; what does not fit is dropped. */
  fill(bytes: readonly number[]): void {
    this.clear()
    for (const byte of bytes) this.push(byte)
  }

  toArray(): number[] {
    return Array.from({ length: this.#count }, (_, i) => this.#bytes[(this.#first + i) % this.#bytes.length]!)
  }
}
