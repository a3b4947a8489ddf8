import { IrqchipError } from './errors.ts'
import { ownRegion, type StateRegion } from './time.ts'

/** Bytes of machine memory that the pair's state takes. */
export const I8259_STATE_BYTES = 256

/* Words of one chip. */
const LINES = 0
/** Edges that were seen and not yet served. */
const EDGES = 1
/** Inputs whose edge came from a pulse: it lasts until it is served, as if the device had held the line. */
const PULSES = 2
const ISR = 3
const IMR = 4
const ELCR = 5
const ICW1 = 6
const ICW2 = 7
const ICW3 = 8
const ICW4 = 9
/** The initialisation word that is expected next; 0: none. */
const INIT = 10
/** The input of highest priority: 0 unless rotated. */
const FIRST = 11
const SPECIAL_MASK = 12
const READ_ISR = 13
const POLL = 14
const ROTATE_ON_AEOI = 15
const CHIP_WORDS = 16

const ICW1_SELECT = 1 << 4
const ICW1_SINGLE = 1 << 1
const ICW1_NEEDS_ICW4 = 1 << 0
const ICW4_AEOI = 1 << 1
const ICW4_SFNM = 1 << 4
const OCW3_SELECT = 1 << 3
const CASCADE = 2

/** Saved form of one chip. */
export interface I8259ChipState {
  readonly lines: number
  readonly edges: number
  readonly pulses: number
  readonly inService: number
  readonly mask: number
  readonly elcr: number
  readonly icw1: number
  readonly icw2: number
  readonly icw3: number
  readonly icw4: number
  readonly initStep: number
  readonly first: number
  readonly specialMask: number
  readonly readIsr: number
  readonly poll: number
  readonly rotateOnAeoi: number
}

const FIELDS: readonly (keyof I8259ChipState)[] = [
  'lines',
  'edges',
  'pulses',
  'inService',
  'mask',
  'elcr',
  'icw1',
  'icw2',
  'icw3',
  'icw4',
  'initStep',
  'first',
  'specialMask',
  'readIsr',
  'poll',
  'rotateOnAeoi',
]

/** Saved form of an {@link I8259Pair}. */
export interface I8259State {
  readonly version: 1
  readonly master: I8259ChipState
  readonly slave: I8259ChipState
}

/** The answers of a two-port chip. Byte-wide. */
export interface PortHandler {
  read(offset: number, size: number): number
  write(offset: number, size: number, value: number): void
}

/** One 8259A. */
class Chip {
  readonly words: Int32Array
  readonly #slave: Chip | null
  readonly #elcrMask: number

  /** @param slave - the chip on input 2, or null */
  constructor(words: Int32Array, slave: Chip | null, elcrMask: number) {
    this.words = words
    this.#slave = slave
    this.#elcrMask = elcrMask
  }

  reset(): void {
    const { words } = this
    const lines = words[LINES]!
    words.fill(0)
    words[LINES] = lines
  }

  /** Drives an input. */
  setLine(irq: number, level: boolean): void {
    const { words } = this
    const bit = 1 << irq
    const old = words[LINES]!
    if (((old & bit) !== 0) === level) return
    words[LINES] = level ? old | bit : old & ~bit
    if (level) words[EDGES]! |= bit
    // A request must last until it is acknowledged: its edge goes with the line.
    else if ((words[PULSES]! & bit) === 0) words[EDGES]! &= ~bit
  }

  pulse(irq: number): void {
    const bit = 1 << irq
    this.words[EDGES]! |= bit
    this.words[PULSES]! |= bit
  }

  /** The request register: edges, or levels where ELCR says so. The slave's output is a level. */
  get requests(): number {
    const { words } = this
    const level = words[ELCR]!
    let requests = (words[EDGES]! & ~level) | (words[LINES]! & level)
    if (this.#slave !== null) {
      requests &= ~(1 << CASCADE)
      if (this.#slave.pending() >= 0) requests |= 1 << CASCADE
    }
    return requests
  }

  /** Position of the highest-priority bit of `bits` in the present order, or 8. */
  #rank(bits: number): number {
    if (bits === 0) return 8
    const first = this.words[FIRST]!
    let rank = 0
    while ((bits & (1 << ((rank + first) & 7))) === 0) rank++
    return rank
  }

  /** The input that the chip requests an interrupt for, or −1. */
  pending(): number {
    const { words } = this
    const wanted = this.#rank(this.requests & ~words[IMR]!)
    if (wanted === 8) return -1
    let inService = words[ISR]!
    // Special mask mode: a masked level in service holds nobody back.
    if (words[SPECIAL_MASK] !== 0) inService &= ~words[IMR]!
    // Special fully nested mode: the slave's better requests come through.
    if (this.#slave !== null && (words[ICW4]! & ICW4_SFNM) !== 0) inService &= ~(1 << CASCADE)
    return wanted < this.#rank(inService) ? (wanted + words[FIRST]!) & 7 : -1
  }

  /** INTA for an input. */
  serve(irq: number): void {
    const { words } = this
    const bit = 1 << irq
    words[EDGES]! &= ~bit
    words[PULSES]! &= ~bit
    if ((words[ICW4]! & ICW4_AEOI) === 0) words[ISR]! |= bit
    else if (words[ROTATE_ON_AEOI] !== 0) words[FIRST] = (irq + 1) & 7
  }

  read(address: number): number {
    const { words } = this
    if (words[POLL] !== 0) {
      words[POLL] = 0
      const irq = this.pending()
      if (irq < 0) return 0
      this.serve(irq)
      return 0x80 | irq
    }
    if (address === 1) return words[IMR]!
    return words[READ_ISR] !== 0 ? words[ISR]! : this.requests
  }

  write(address: number, value: number): void {
    if (address === 1) this.#writeData(value)
    else if ((value & ICW1_SELECT) !== 0) this.#initialise(value)
    else if ((value & OCW3_SELECT) !== 0) this.#ocw3(value)
    else this.#ocw2(value)
  }

  #initialise(value: number): void {
    const { words } = this
    words[ICW1] = value
    words[EDGES] = 0
    words[PULSES] = 0
    words[ISR] = 0
    words[IMR] = 0
    words[FIRST] = 0
    words[SPECIAL_MASK] = 0
    words[READ_ISR] = 0
    words[POLL] = 0
    words[ROTATE_ON_AEOI] = 0
    if ((value & ICW1_NEEDS_ICW4) === 0) words[ICW4] = 0
    words[INIT] = 2
  }

  #writeData(value: number): void {
    const { words } = this
    switch (words[INIT]) {
      case 2:
        words[ICW2] = value & 0xf8
        words[INIT] = (words[ICW1]! & ICW1_SINGLE) === 0 ? 3 : this.#afterIcw3()
        return
      case 3:
        words[ICW3] = value
        words[INIT] = this.#afterIcw3()
        return
      case 4:
        words[ICW4] = value & 0x1f
        words[INIT] = 0
        return
      default:
        words[IMR] = value
    }
  }

  #afterIcw3(): number {
    return (this.words[ICW1]! & ICW1_NEEDS_ICW4) === 0 ? 0 : 4
  }

  /** End of interrupt and rotation: R, SL, EOI in bits 7:5. */
  #ocw2(value: number): void {
    const { words } = this
    const level = value & 7
    switch (value >>> 5) {
      case 0:
        words[ROTATE_ON_AEOI] = 0
        return
      case 4:
        words[ROTATE_ON_AEOI] = 1
        return
      case 1:
      case 5: {
        // A level that special mask mode masks is not ended by a non-specific EOI.
        const candidates = words[SPECIAL_MASK] !== 0 ? words[ISR]! & ~words[IMR]! : words[ISR]!
        const rank = this.#rank(candidates)
        if (rank === 8) return
        const irq = (rank + words[FIRST]!) & 7
        words[ISR]! &= ~(1 << irq)
        if (value >>> 5 === 5) words[FIRST] = (irq + 1) & 7
        return
      }
      case 3:
        words[ISR]! &= ~(1 << level)
        return
      case 7:
        words[ISR]! &= ~(1 << level)
        words[FIRST] = (level + 1) & 7
        return
      case 6:
        words[FIRST] = (level + 1) & 7
        return
      default:
      // 010 does nothing.
    }
  }

  #ocw3(value: number): void {
    const { words } = this
    if ((value & 4) !== 0) words[POLL] = 1
    else if ((value & 2) !== 0) words[READ_ISR] = value & 1
    if ((value & 0x40) !== 0) words[SPECIAL_MASK] = (value >>> 5) & 1
  }

  get elcr(): number {
    return this.words[ELCR]!
  }
  set elcr(value: number) {
    this.words[ELCR] = value & this.#elcrMask
  }

  save(): I8259ChipState {
    return Object.fromEntries(FIELDS.map((name, i) => [name, this.words[i]!])) as unknown as I8259ChipState
  }
  restore(state: I8259ChipState): void {
    FIELDS.forEach((name, i) => {
      this.words[i] = state[name]
    })
  }
}

/**
 * The two 8259A interrupt controllers of a PC, the second on input 2 of the first, with the edge/level control
 * registers at 0x4D0 and 0x4D1 (which replace ICW1's LTIM bit).
 *
 * Source: Intel 8259A data sheet; Intel 82371AB (PIIX4) for ELCR.
 */
export class I8259Pair {
  readonly #master: Chip
  readonly #slave: Chip
  readonly #output: (level: boolean) => void
  #level = false
  /** Ports 0x20–0x21. */
  readonly masterPorts: PortHandler
  /** Ports 0xA0–0xA1. */
  readonly slavePorts: PortHandler
  /** Ports 0x4D0–0x4D1. */
  readonly elcrPorts: PortHandler
  /** Called before a command, of which an end of interrupt is one: then inputs' levels are looked at again. */
  beforeEndOfInterrupt: () => void = () => undefined

  /** @param output - the INT wire */
  constructor(output: (level: boolean) => void, state: StateRegion = ownRegion(I8259_STATE_BYTES)) {
    this.#output = output
    const words = new Int32Array(state.buffer, state.byteOffset, 2 * CHIP_WORDS)
    this.#slave = new Chip(words.subarray(CHIP_WORDS), null, 0xde)
    this.#master = new Chip(words.subarray(0, CHIP_WORDS), this.#slave, 0xf8)
    this.masterPorts = this.#ports(this.#master)
    this.slavePorts = this.#ports(this.#slave)
    this.elcrPorts = {
      read: (offset) => (offset === 0 ? this.#master : this.#slave).elcr,
      write: (offset, _size, value) => {
        ;(offset === 0 ? this.#master : this.#slave).elcr = value
        this.#update()
      },
    }
  }

  #ports(chip: Chip): PortHandler {
    return {
      read: (offset) => {
        const value = chip.read(offset)
        // A poll is an acknowledgement.
        this.#update()
        return value
      },
      write: (offset, _size, value) => {
        if (offset === 0) this.beforeEndOfInterrupt()
        chip.write(offset, value & 0xff)
        this.#update()
      },
    }
  }

  /** Power-on state; ELCR too. The levels of the inputs are their drivers' business and stay. */
  reset(): void {
    this.#master.reset()
    this.#slave.reset()
    this.#update()
  }

  #update(): void {
    const level = this.#master.pending() >= 0
    if (level === this.#level) return
    this.#level = level
    this.#output(level)
  }

  /** The INT wire. */
  get output(): boolean {
    return this.#level
  }

  /** Drives ISA interrupt 0–15. Input 2 belongs to the slave: driving it does nothing. */
  setLine(irq: number, level: boolean): void {
    if (irq < 8) {
      if (irq !== CASCADE) this.#master.setLine(irq, level)
    } else this.#slave.setLine(irq - 8, level)
    this.#update()
  }

  /** A pulse on ISA interrupt 0–15, long enough to be acknowledged. */
  pulse(irq: number): void {
    if (irq < 8) {
      if (irq !== CASCADE) this.#master.pulse(irq)
    } else this.#slave.pulse(irq - 8)
    this.#update()
  }

  /**
   * The INTA cycle.
   *
   * @returns the vector; that of input 7 where the request has gone (a spurious interrupt, which is not in service)
   */
  acknowledge(): number {
    const master = this.#master
    const irq = master.pending()
    let vector: number
    if (irq < 0) vector = master.words[ICW2]! | 7
    else if (irq === CASCADE) {
      // The slave's output is a level here, so there is a request if the master saw one.
      const second = this.#slave.pending()
      master.serve(CASCADE)
      this.#slave.serve(second)
      vector = this.#slave.words[ICW2]! | second
    } else {
      master.serve(irq)
      vector = master.words[ICW2]! | irq
    }
    // Between two interrupts the wire goes low, also where another request waits.
    if (this.#level) {
      this.#level = false
      this.#output(false)
    }
    this.#update()
    return vector
  }

  save(): I8259State {
    return { version: 1, master: this.#master.save(), slave: this.#slave.save() }
  }

  /** @throws IrqchipError `ERR_STATE` for another version */
  restore(state: I8259State): void {
    if (state.version !== 1)
      throw new IrqchipError('ERR_STATE', `i8259 state of version ${String(state.version)}: expected 1`)
    this.#master.restore(state.master)
    this.#slave.restore(state.slave)
    this.#update()
  }
}
