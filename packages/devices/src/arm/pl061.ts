import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  savedState,
  type Timer,
  type Word64,
} from '@retrap/device'
import { restoreDeadline, savedDeadline } from '../saved-deadline.ts'
import { PRIME_CELL_BYTES, primeCell } from './prime-cell.ts'

// Registers. Below DIR the data register is seen 256 times: bits 9:2 of the address say which lines an access reaches.
const DIR = 0x400
const IS = 0x404
const IBE = 0x408
const IEV = 0x40c
const IE = 0x410
const RIS = 0x414
const MIS = 0x418
const IC = 0x41c
const AFSEL = 0x420

/** Part 0x061 of Arm (0x41). */
const PL061_ID = 0x0004_1061
const LINES = 8
/** How long `press` holds a button: longer than drivers wait for its contacts to settle. */
const PRESS_NS = 100_000_000

/** Options of {@link Pl061}. */
export interface Pl061Options {
  /** Guest-physical address of its 4 KiB of registers. */
  readonly base: number
  /** Interrupt line, as `DeviceContext.interruptLine` counts them. */
  readonly irq: number
  /** Told the levels of the lines that the guest drives, as bits, whenever one changes. */
  readonly onOutput?: (levels: number, driven: number) => void
}

/** Saved form of a {@link Pl061}. Registers have the names of the manual without the prefix GPIO. */
export interface Pl061State {
  /** Layout of the state. */
  readonly version: 1
  /** Levels that the board gives to the lines, as bits. */
  readonly inputs: number
  /** Levels that the guest gives to the lines that it drives. */
  readonly data: number
  /** Direction: 1 is an output. */
  readonly dir: number
  /** Interrupt sense: 1 is level. */
  readonly is: number
  /** Interrupt on both edges. */
  readonly ibe: number
  /** Interrupt event: 1 is rising or high. */
  readonly iev: number
  /** Interrupt mask: 1 lets it through. */
  readonly ie: number
  /** Edges that were seen. */
  readonly edges: number
  /** Mode control. */
  readonly afsel: number
  /** Buttons that are held, as bits. */
  readonly pressed: number
  /** When they are let go: nanoseconds of the machine's clock, 64 bits; null: none is held. */
  readonly releaseAt: Word64 | null
}

/**
 * PL061 GPIO of eight lines, and the buttons that are connected to them.
 *
 * There is no hardware control: the bits of GPIOAFSEL are kept. Interrupts are those of inputs; a line that the guest drives
 * causes none.
 *
 * Source: Arm DDI 0190B, "PrimeCell General Purpose Input/Output (PL061) Technical Reference Manual".
 */
export class Pl061 implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'pl061'
  readonly #options: Pl061Options
  #inputs = 0
  #data = 0
  #dir = 0
  #is = 0
  #ibe = 0
  #iev = 0
  #ie = 0
  #edges = 0
  #afsel = 0
  #pressed = 0
  #line: InterruptLine | null = null
  #timer: Timer | null = null

  constructor(options: Pl061Options) {
    this.#options = options
  }

  /** Claims the registers and takes the interrupt line. */
  attach(context: DeviceContext): void {
    const { base, irq } = this.#options
    this.#line = context.interruptLine(irq)
    this.#timer = context.timer(() => this.#letGo())
    const registers = primeCell(PL061_ID, {
      read: (offset) => this.#read(offset),
      write: (offset, value) => this.#write(offset, value & 0xff),
    })
    context.mapMmio(base, PRIME_CELL_BYTES, registers)
  }

  /**
   * Gives a level to a line.
   *
   * @throws DeviceError `ERR_OPTION` for a line that is not there
   */
  setInput(line: number, high: boolean): void {
    this.#setInputs(high ? this.#inputs | bit(line) : this.#inputs & ~bit(line))
  }

  /**
   * Presses the button at a line, whose level is high for a tenth of a second.
   *
   * @returns whether the guest has asked for the line's interrupt
   * @throws DeviceError `ERR_OPTION` for a line that is not there
   */
  press(line: number): boolean {
    this.#pressed |= bit(line)
    this.#timer?.armAfter(PRESS_NS)
    this.#setInputs(this.#inputs | bit(line))
    return (this.#ie & ~this.#dir & bit(line)) !== 0
  }

  #letGo(): void {
    const held = this.#pressed
    this.#pressed = 0
    this.#setInputs(this.#inputs & ~held)
  }

  #setInputs(inputs: number): void {
    const before = this.#inputs
    this.#inputs = inputs
    const rising = inputs & ~before
    const falling = before & ~inputs
    const wanted = ((rising | falling) & this.#ibe) | (rising & this.#iev) | (falling & ~this.#iev & ~this.#ibe)
    this.#edges |= wanted & ~this.#is & ~this.#dir
    this.#update()
  }

  /** Levels of all lines, driven by the guest or by devices. */
  #levels(): number {
    return (this.#data & this.#dir) | (this.#inputs & ~this.#dir)
  }

  /** A level is an interrupt for as long as it is there; an edge is one until it is cleared. */
  #raw(): number {
    const level = ~(this.#inputs ^ this.#iev) & this.#is & ~this.#dir
    return (this.#edges & ~this.#is) | level
  }

  #read(offset: number): number {
    if (offset < DIR) return this.#levels() & (offset >> 2)
    switch (offset) {
      case DIR:
        return this.#dir
      case IS:
        return this.#is
      case IBE:
        return this.#ibe
      case IEV:
        return this.#iev
      case IE:
        return this.#ie
      case RIS:
        return this.#raw()
      case MIS:
        return this.#raw() & this.#ie
      case AFSEL:
        return this.#afsel
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    if (offset < DIR) {
      const mask = (offset >> 2) & this.#dir
      this.#data = (this.#data & ~mask) | (value & mask)
      this.#tellOutputs()
      return
    }
    switch (offset) {
      case DIR:
        this.#dir = value
        this.#tellOutputs()
        break
      case IS:
        this.#is = value
        break
      case IBE:
        this.#ibe = value
        break
      case IEV:
        this.#iev = value
        break
      case IE:
        this.#ie = value
        break
      case IC:
        this.#edges &= ~value
        break
      case AFSEL:
        this.#afsel = value
        break
      // The rest is read-only, or not there.
    }
    this.#update()
  }

  #tellOutputs(): void {
    this.#options.onOutput?.(this.#data & this.#dir, this.#dir)
  }

  #update(): void {
    this.#line?.set((this.#raw() & this.#ie) !== 0)
  }

  /** Returns the registers to their state at power-on. The board's levels stay. */
  reset(): void {
    this.#data = 0
    this.#dir = 0
    this.#is = 0
    this.#ibe = 0
    this.#iev = 0
    this.#ie = 0
    this.#edges = 0
    this.#afsel = 0
    this.#tellOutputs()
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): Pl061State {
    return {
      version: 1,
      inputs: this.#inputs,
      data: this.#data,
      dir: this.#dir,
      is: this.#is,
      ibe: this.#ibe,
      iev: this.#iev,
      ie: this.#ie,
      edges: this.#edges,
      afsel: this.#afsel,
      pressed: this.#pressed,
      releaseAt: savedDeadline(this.#timer),
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<Pl061State>(this.name, state, 1)
    this.#inputs = saved.inputs
    this.#data = saved.data
    this.#dir = saved.dir
    this.#is = saved.is
    this.#ibe = saved.ibe
    this.#iev = saved.iev
    this.#ie = saved.ie
    this.#edges = saved.edges
    this.#afsel = saved.afsel
    this.#pressed = saved.pressed
    restoreDeadline(this.#timer, saved.releaseAt)
    this.#tellOutputs()
    this.#update()
  }
}

function bit(line: number): number {
  if (!Number.isInteger(line) || line < 0 || line >= LINES)
    throw new DeviceError('ERR_OPTION', `pl061: line ${line}: expected 0 to ${LINES - 1}`)
  return 1 << line
}
