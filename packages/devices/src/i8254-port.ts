import { Stateful } from '@retrap/device'

/** RW field of the control word. */
const RW_LOW = 1
const RW_HIGH = 2
const RW_BOTH = 3
const NONE = -1

/**
 * The bytes of one counter of an 8254: a count is written and read as its low byte, its high byte or both, in binary or in
 * BCD, and count and status can be latched.
 *
 * Source: Intel 8254 data sheet (231164), "Write Operations" and "Read Operations".
 */
export class CounterPort extends Stateful {
  readonly #r = this.keeps({
    control: 0,
    /** Whether the next byte to write, or to read, is the high one. */
    writeHigh: false,
    lowByte: 0,
    readHigh: false,
    /** Latched count, its bytes left to read, and latched status; −1: none. */
    latchedCount: -1,
    latchedBytes: 0,
    latchedStatus: -1,
  })

  /** The control word as written. */
  get control(): number {
    return this.#r.control
  }

  /** Handles a control word, which drops latched and half-written values. */
  writeControl(control: number): void {
    this.#r.control = control
    this.#r.writeHigh = false
    this.#r.readHigh = false
    this.#r.latchedCount = NONE
    this.#r.latchedStatus = NONE
  }

  /** Returns the number of counts, where 0 stands for the largest. */
  modulus(): number {
    return (this.#r.control & 1) === 0 ? 0x1_0000 : 10_000
  }

  /** Takes a byte of a count. @returns the count in ticks, 1 … modulus; −1 after the first byte of two */
  write(byte: number): number {
    const rw = this.#r.control >> 4
    if (rw === RW_BOTH && !this.#r.writeHigh) {
      this.#r.lowByte = byte
      this.#r.writeHigh = true
      return NONE
    }
    this.#r.writeHigh = false
    return this.#decode(rw === RW_LOW ? byte : rw === RW_HIGH ? byte << 8 : this.#r.lowByte | (byte << 8))
  }

  /** Returns and clears the latched status byte; −1: none. */
  takeStatus(): number {
    const status = this.#r.latchedStatus
    this.#r.latchedStatus = NONE
    return status
  }

  /** Reads a byte of the latched count, or of the count that is given. */
  read(count: number): number {
    const value = this.#r.latchedCount === NONE ? this.#encode(count) : this.#r.latchedCount
    const rw = this.#r.control >> 4
    const high = rw === RW_HIGH || (rw === RW_BOTH && this.#r.readHigh)
    if (rw === RW_BOTH) this.#r.readHigh = !this.#r.readHigh
    if (this.#r.latchedCount !== NONE && --this.#r.latchedBytes === 0) this.#r.latchedCount = NONE
    return high ? value >> 8 : value & 0xff
  }

  /** Holds a count until it has been read. A second latch before that is ignored. */
  latchCount(count: number): void {
    if (this.#r.latchedCount !== NONE) return
    this.#r.latchedCount = this.#encode(count)
    this.#r.latchedBytes = this.#r.control >> 4 === RW_BOTH ? 2 : 1
  }

  /** Holds a status byte, of bits 7:6 and the control word as written, until it has been read. */
  latchStatus(bits: number): void {
    if (this.#r.latchedStatus === NONE) this.#r.latchedStatus = bits | this.#r.control
  }

  #decode(raw: number): number {
    if ((this.#r.control & 1) === 0) return raw === 0 ? 0x1_0000 : raw
    const decimal = (raw >> 12) * 1000 + ((raw >> 8) & 15) * 100 + ((raw >> 4) & 15) * 10 + (raw & 15)
    return decimal === 0 ? 10_000 : decimal
  }

  #encode(ticks: number): number {
    const count = ticks % this.modulus()
    if ((this.#r.control & 1) === 0) return count
    return (
      (Math.floor(count / 1000) << 12) |
      ((Math.floor(count / 100) % 10) << 8) |
      ((Math.floor(count / 10) % 10) << 4) |
      (count % 10)
    )
  }
}
