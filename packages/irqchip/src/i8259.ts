import { checkFunction, regionFor, type StateRegion } from './arguments.ts'
import { I8259_CHIP_WORDS, I8259Chip } from './i8259-chip.ts'
import { Controller } from './saved-words.ts'

/** Counts the bytes of machine memory that the pair's state takes. */
export const I8259_STATE_BYTES = 256

/** Word behind both chips' with the level that the INT wire was last driven to. */
const INT = 2 * I8259_CHIP_WORDS

/** Master input that the slave's INT drives. */
const CASCADE = 2

/** Answers accesses to a few ports. Registers are bytes; a wider access takes one byte a port. */
export interface PortHandler {
  /** Reads `size` bytes from the port at `offset` on, little-endian. */
  read(offset: number, size: number): number
  /** Writes `size` bytes to the port at `offset` on, little-endian. */
  write(offset: number, size: number, value: number): void
}

/**
 * The two 8259A interrupt controllers of a PC, the second on input 2 of the first.
 *
 * The edge/level control registers at 0x4D0 and 0x4D1 replace ICW1's LTIM bit. The cascade is wired inside the
 * chipset: ICW3 is kept, but selects nothing.
 *
 * Source: Intel 8259A data sheet; Intel 82371AB (PIIX4) data sheet for ELCR.
 */
export class I8259Pair extends Controller {
  /** Ports 0x20–0x21. */
  readonly masterPorts: PortHandler
  /** Ports 0xA0–0xA1. */
  readonly slavePorts: PortHandler
  /** Ports 0x4D0–0x4D1. */
  readonly elcrPorts: PortHandler
  /** Called before an end of interrupt: the driver of a level-triggered input may bring its level up to date. */
  beforeEndOfInterrupt: () => void = () => undefined
  readonly #words: Int32Array
  readonly #master: I8259Chip
  readonly #slave: I8259Chip
  readonly #output: (level: boolean) => void

  /**
   * @param output - the INT wire: called with each new level
   * @param state - `I8259_STATE_BYTES` bytes for the state; default a new buffer
   */
  constructor(output: (level: boolean) => void, state?: StateRegion) {
    super()
    checkFunction('output', output)
    this.#output = output
    const { buffer, byteOffset } = regionFor(I8259_STATE_BYTES, state)
    const words = new Int32Array(buffer, byteOffset, I8259_STATE_BYTES / 4)
    this.#words = words
    // Inputs 0, 1, 2, 8 and 13 belong to timer, keyboard, cascade, clock and coprocessor, which are edge-triggered.
    this.#master = new I8259Chip(words.subarray(0, I8259_CHIP_WORDS), 1 << CASCADE, 0xf8)
    this.#slave = new I8259Chip(words.subarray(I8259_CHIP_WORDS, INT), 0, 0xde)
    this.keeps(
      { version: 1, master: this.#master.state, slave: this.#slave.state },
      { device: 'i8259', settled: () => this.#settle() },
    )
    this.masterPorts = this.#chipPorts(this.#master)
    this.slavePorts = this.#chipPorts(this.#slave)
    const chips = [this.#master, this.#slave] as const
    this.elcrPorts = bytePorts(
      (port) => chips[port].elcr,
      (port, value) => {
        chips[port].elcr = value
        this.#settle()
      },
    )
  }

  #chipPorts(chip: I8259Chip): PortHandler {
    return bytePorts(
      (port) => {
        // A poll acknowledges.
        const value = chip.read(port)
        this.#settle()
        return value
      },
      (port, value) => {
        if (port === 0 && I8259Chip.endsInterrupt(value)) this.beforeEndOfInterrupt()
        chip.write(port, value)
        this.#settle()
      },
    )
  }

  /** Restores the power-on state, ELCR too. The inputs keep the levels that their drivers give them. */
  override reset(): void {
    this.#master.reset()
    this.#slave.reset()
    this.#settle()
  }

  /** The level of the INT wire. */
  get output(): boolean {
    return this.#master.winner >= 0
  }

  /** Drives ISA interrupt 0–15. Input 2 belongs to the slave: driving it does nothing. */
  setLine(irq: number, level: boolean): void {
    if (irq === CASCADE) return
    if (irq < 8) this.#master.drive(irq, level)
    else this.#slave.drive(irq - 8, level)
    this.#settle()
  }

  /** Raises ISA interrupt 0–15 until it is acknowledged; an asserted one stays asserted. */
  pulse(irq: number): void {
    if (irq === CASCADE) return
    if (irq < 8) this.#master.pulse(irq)
    else this.#slave.pulse(irq - 8)
    this.#settle()
  }

  /**
   * Performs the INTA cycle.
   *
   * @returns the vector; that of input 7 where the request has gone (a spurious interrupt, which is not in service)
   */
  acknowledge(): number {
    const input = this.#master.acknowledge()
    let vector = this.#master.vector(input)
    if (input === CASCADE) {
      vector = this.#slave.vector(this.#slave.acknowledge())
      // The slave's INT falls during the cycle; a new rise is another edge.
      this.#master.drive(CASCADE, false)
    }
    this.#settle()
    return vector
  }

  /** Carries a change on over the cascade and the INT wire. */
  #settle(): void {
    this.#master.drive(CASCADE, this.#slave.winner >= 0)
    const level = this.output ? 1 : 0
    if (level === this.#words[INT]) return
    this.#words[INT] = level
    this.#output(level === 1)
  }
}

/** Makes a handler of two neighbouring byte registers. */
function bytePorts(read: (port: 0 | 1) => number, write: (port: 0 | 1, value: number) => void): PortHandler {
  return {
    read: (offset, size) => (offset === 0 && size > 1 ? read(0) | (read(1) << 8) : read(offset === 0 ? 0 : 1)),
    write: (offset, size, value) => {
      write(offset === 0 ? 0 : 1, value & 0xff)
      if (offset === 0 && size > 1) write(1, (value >>> 8) & 0xff)
    },
  }
}
