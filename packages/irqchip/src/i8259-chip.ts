import type { StatePart } from '@retrap/device'
import { namedWords } from './saved-words.ts'

/** Word of the state region that holds each field, saved under the same name. Bit n of a bit mask is input n; flags are 0 or 1. */
const W = {
  /** Levels of the inputs, as driven. */
  lines: 0,
  /** Inputs with a rising edge that has not been acknowledged. */
  edges: 1,
  /** Inputs that a pulse holds up until they are acknowledged. */
  pulses: 2,
  inService: 3,
  mask: 4,
  elcr: 5,
  icw1: 6,
  icw2: 7,
  icw3: 8,
  icw4: 9,
  /** Number of the initialisation word that the data port expects next; 0 outside initialisation. */
  initStep: 10,
  /** Input with the highest priority; 0 unless priorities were rotated. */
  first: 11,
  specialMask: 12,
  readIsr: 13,
  poll: 14,
  rotateOnAeoi: 15,
} as const

/** Words of machine memory that one chip takes. */
export const I8259_CHIP_WORDS = 16

const ICW1_SELECT = 1 << 4
const ICW1_SINGLE = 1 << 1
const ICW1_HAS_ICW4 = 1 << 0
const ICW4_AUTOMATIC_EOI = 1 << 1
const ICW4_SPECIAL_FULLY_NESTED = 1 << 4

const OCW3_SELECT = 1 << 3
const OCW3_READ_ISR = 1 << 0
const OCW3_READ_REGISTER = 1 << 1
const OCW3_POLL = 1 << 2
const OCW3_SPECIAL_MASK = 1 << 5
const OCW3_SET_SPECIAL_MASK = 1 << 6

/** Input that a spurious interrupt reports. */
const SPURIOUS = 7
const POLL_INTERRUPT = 0x80

/** Describes one command of OCW2 by its bits R, SL and EOI. */
interface Ocw2 {
  /** The input that the command is about: the best in service, or the one in bits 2:0. */
  readonly about: 'best' | 'named' | 'none'
  /** Whether the command ends the service of the input. */
  readonly ends?: true
  /** Whether the command gives the input the lowest priority. */
  readonly rotates?: true
  /** Sets or clears rotation on automatic end of interrupt. */
  readonly automatic?: 0 | 1
}

/** Data sheet, "Operation Command Word 2", by bits 7:5. */
const OCW2: readonly Ocw2[] = [
  { about: 'none', automatic: 0 },
  { about: 'best', ends: true },
  { about: 'none' },
  { about: 'named', ends: true },
  { about: 'none', automatic: 1 },
  { about: 'best', ends: true, rotates: true },
  { about: 'named', rotates: true },
  { about: 'named', ends: true, rotates: true },
]
const OCW2_ENDS = 1 << 5

/**
 * One 8259A.
 *
 * Sets of inputs are bytes. A byte is turned so that bit 0 is the input with the highest priority; the lowest set bit
 * of a turned byte is then the best input of the set, and the bits below it are the inputs that outrank the set.
 *
 * Source: Intel 8259A data sheet.
 */
export class I8259Chip {
  /** The part that saves all words. */
  readonly state: StatePart
  readonly #words: Int32Array
  /** Mask of the input that another chip's INT drives; 0 for a chip without one. */
  readonly #cascade: number
  /** ELCR bits that exist; the other inputs are edge-triggered. */
  readonly #elcrWritable: number

  constructor(words: Int32Array, cascade: number, elcrWritable: number) {
    this.state = namedWords(words, W)
    this.#words = words
    this.#cascade = cascade
    this.#elcrWritable = elcrWritable
  }

  /** Restores the power-on state, the levels of the inputs excepted. */
  reset(): void {
    const lines = this.#words[W.lines]!
    this.#words.fill(0)
    this.#words[W.lines] = lines
  }

  // ---- inputs ----

  /** Sets the level of an input. */
  drive(input: number, level: boolean): void {
    const w = this.#words
    const bit = 1 << input
    if (level) {
      if (((w[W.lines]! | w[W.pulses]!) & bit) === 0) w[W.edges]! |= bit
      w[W.lines]! |= bit
    } else {
      w[W.lines]! &= ~bit
      // A request must last until its acknowledgement. A pulse does.
      if ((w[W.pulses]! & bit) === 0) w[W.edges]! &= ~bit
    }
  }

  /** Raises an input that is down until the request is acknowledged. */
  pulse(input: number): void {
    const w = this.#words
    const bit = 1 << input
    if (((w[W.lines]! | w[W.pulses]!) & bit) !== 0) return
    w[W.pulses]! |= bit
    w[W.edges]! |= bit
  }

  get elcr(): number {
    return this.#words[W.elcr]!
  }
  set elcr(value: number) {
    const level = value & this.#elcrWritable
    this.#words[W.elcr] = level
    // A level-triggered input has no edge to remember.
    this.#words[W.edges]! &= ~level
  }

  // ---- priorities ----

  /** The interrupt request register. */
  #requests(): number {
    const w = this.#words
    const level = w[W.elcr]!
    return (w[W.edges]! & ~level) | ((w[W.lines]! | w[W.pulses]!) & level)
  }

  /** Returns the inputs in service, without masked ones in special mask mode. */
  #serving(): number {
    const w = this.#words
    return w[W.specialMask] === 0 ? w[W.inService]! : w[W.inService]! & ~w[W.mask]!
  }

  /** Turns a set of inputs so that bit 0 is the input with the highest priority. */
  #turned(inputs: number): number {
    return ((inputs | (inputs << 8)) >>> this.#words[W.first]!) & 0xff
  }

  /** The best input of a turned set; −1 for the empty set. */
  #best(turned: number): number {
    if (turned === 0) return -1
    return (31 - Math.clz32(turned & -turned) + this.#words[W.first]!) & 7
  }

  /** The input that INT is up for; −1 while INT is down. */
  get winner(): number {
    const w = this.#words
    const wanted = this.#turned(this.#requests() & ~w[W.mask]!)
    if (wanted === 0) return -1
    const serving = this.#turned(this.#serving())
    const bestServed = serving & -serving
    // All ones when nothing is in service.
    let open = bestServed - 1
    // A slave in service may interrupt again, because it only requests interrupts of higher priority than its own service.
    if ((w[W.icw4]! & ICW4_SPECIAL_FULLY_NESTED) !== 0) open |= bestServed & this.#turned(this.#cascade)
    return this.#best(wanted & open)
  }

  /**
   * Acknowledges the winner.
   *
   * @returns the acknowledged input, or −1 if the request was withdrawn
   */
  acknowledge(): number {
    const input = this.winner
    if (input < 0) return -1
    const w = this.#words
    const bit = 1 << input
    w[W.edges]! &= ~bit
    w[W.pulses]! &= ~bit
    if ((w[W.icw4]! & ICW4_AUTOMATIC_EOI) === 0) w[W.inService]! |= bit
    else if (w[W.rotateOnAeoi] !== 0) w[W.first] = (input + 1) & 7
    return input
  }

  /** The vector of an input; of a request that has gone, that of input 7. */
  vector(input: number): number {
    return (this.#words[W.icw2]! & 0xf8) | (input < 0 ? SPURIOUS : input)
  }

  // ---- ports ----

  /** Reads the command port (0) or the data port (1). */
  read(port: number): number {
    const w = this.#words
    if (w[W.poll] !== 0) {
      w[W.poll] = 0
      const input = this.acknowledge()
      return input < 0 ? 0 : POLL_INTERRUPT | input
    }
    if (port === 1) return w[W.mask]!
    return w[W.readIsr] === 0 ? this.#requests() : w[W.inService]!
  }

  /** Returns whether a byte for the command port ends an interrupt. */
  static endsInterrupt(value: number): boolean {
    return (value & (ICW1_SELECT | OCW3_SELECT | OCW2_ENDS)) === OCW2_ENDS
  }

  /** Writes the command port (0) or the data port (1). */
  write(port: number, value: number): void {
    if (port === 1) this.#writeData(value)
    else if ((value & ICW1_SELECT) !== 0) this.#initialise(value)
    else if ((value & OCW3_SELECT) !== 0) this.#writeOcw3(value)
    else this.#writeOcw2(value)
  }

  /** ICW1: edges must come anew; masks, service, rotation and all modes are off. */
  #initialise(icw1: number): void {
    const w = this.#words
    const lines = w[W.lines]!
    const elcr = w[W.elcr]!
    w.fill(0)
    w[W.lines] = lines
    w[W.elcr] = elcr
    w[W.icw1] = icw1
    w[W.initStep] = 2
  }

  #writeData(value: number): void {
    const w = this.#words
    const single = (w[W.icw1]! & ICW1_SINGLE) !== 0
    const last = (w[W.icw1]! & ICW1_HAS_ICW4) !== 0 ? 4 : 0
    switch (w[W.initStep]) {
      case 2:
        w[W.icw2] = value
        w[W.initStep] = single ? last : 3
        return
      case 3:
        w[W.icw3] = value
        w[W.initStep] = last
        return
      case 4:
        w[W.icw4] = value
        w[W.initStep] = 0
        return
      default:
        w[W.mask] = value
    }
  }

  #writeOcw2(value: number): void {
    const w = this.#words
    const command = OCW2[value >>> 5]!
    if (command.automatic !== undefined) w[W.rotateOnAeoi] = command.automatic
    if (command.about === 'none') return
    const input = command.about === 'named' ? value & 7 : this.#best(this.#turned(this.#serving()))
    if (input < 0) return
    if (command.ends) w[W.inService]! &= ~(1 << input)
    if (command.rotates) w[W.first] = (input + 1) & 7
  }

  #writeOcw3(value: number): void {
    const w = this.#words
    if ((value & OCW3_SET_SPECIAL_MASK) !== 0) w[W.specialMask] = (value & OCW3_SPECIAL_MASK) === 0 ? 0 : 1
    w[W.poll] = (value & OCW3_POLL) === 0 ? 0 : 1
    // Poll overrides the choice of a register.
    if ((value & (OCW3_POLL | OCW3_READ_REGISTER)) === OCW3_READ_REGISTER) w[W.readIsr] = value & OCW3_READ_ISR
  }
}
