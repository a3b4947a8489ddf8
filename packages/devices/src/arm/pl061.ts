import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  Stateful,
  type Timer,
} from '@retrap/device'
import { PRIME_CELL_BYTES, primeCell } from './prime-cell.ts'

// Registers. Below DIR the data register is seen 256 times: bits 9:2 of the address say which lines an access reaches.
const DIR = 0x400
const RIS = 0x414
const MIS = 0x418
const IC = 0x41c
/** The guest's registers, by the manual's names without the prefix GPIO; `edges` holds detected edges. */
const POWER_ON = { data: 0, dir: 0, is: 0, ibe: 0, iev: 0, ie: 0, edges: 0, afsel: 0 }
/** Registers that return the written value. */
const STORED: Readonly<Record<number, keyof typeof POWER_ON>> = {
  [DIR]: 'dir',
  0x404: 'is',
  0x408: 'ibe',
  0x40c: 'iev',
  0x410: 'ie',
  0x420: 'afsel',
}

/** Part 0x061 of Arm (0x41). */
const PL061_ID = 0x0004_1061
const LINES = 8
/** Time for which `press` holds a button: longer than drivers wait for its contacts to settle. */
const PRESS_NS = 100_000_000

/** Options of {@link Pl061}. */
export interface Pl061Options {
  /** Guest-physical address of its 4 KiB of registers. */
  readonly base: number
  /** Interrupt line, as `DeviceContext.interruptLine` counts them. */
  readonly irq: number
  /** Called with the levels of the lines that the guest drives, as bits, whenever one changes. */
  readonly onOutput?: (levels: number, driven: number) => void
}

/**
 * PL061 GPIO of eight lines, and the buttons that are connected to them.
 *
 * There is no hardware control: the bits of GPIOAFSEL are kept. Inputs cause interrupts; a line that the guest drives causes
 * none.
 *
 * Source: Arm DDI 0190B, "PrimeCell General Purpose Input/Output (PL061) Technical Reference Manual".
 */
export class Pl061 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'pl061'
  readonly #options: Pl061Options
  #line: InterruptLine | null = null
  #timer: Timer | null = null
  readonly #r = this.keeps(
    /** `inputs`: levels that the board gives to the lines; `pressed`: buttons that are held. */
    { version: 1, ...POWER_ON, inputs: 0, pressed: 0, releaseAt: () => this.#timer },
    {
      lasting: ['inputs', 'pressed', 'releaseAt'],
      settled: (): void => {
        this.#tellOutputs()
        this.#update()
      },
    },
  )

  constructor(options: Pl061Options) {
    super()
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
   * Sets the level of an input line.
   *
   * @throws DeviceError `ERR_OPTION` for a line that does not exist
   */
  setInput(line: number, high: boolean): void {
    this.#setInputs(high ? this.#r.inputs | bit(line) : this.#r.inputs & ~bit(line))
  }

  /**
   * Presses the button at a line, whose level is high for a tenth of a second.
   *
   * @returns whether the guest has asked for the line's interrupt
   * @throws DeviceError `ERR_OPTION` for a line that does not exist
   */
  press(line: number): boolean {
    this.#r.pressed |= bit(line)
    this.#timer?.armAfter(PRESS_NS)
    this.#setInputs(this.#r.inputs | bit(line))
    return (this.#r.ie & ~this.#r.dir & bit(line)) !== 0
  }

  #letGo(): void {
    const held = this.#r.pressed
    this.#r.pressed = 0
    this.#setInputs(this.#r.inputs & ~held)
  }

  #setInputs(inputs: number): void {
    const before = this.#r.inputs
    this.#r.inputs = inputs
    const rising = inputs & ~before
    const falling = before & ~inputs
    const wanted = ((rising | falling) & this.#r.ibe) | (rising & this.#r.iev) | (falling & ~this.#r.iev & ~this.#r.ibe)
    this.#r.edges |= wanted & ~this.#r.is & ~this.#r.dir
    this.#update()
  }

  /** Levels of all lines, driven by the guest or by devices. */
  #levels(): number {
    return (this.#r.data & this.#r.dir) | (this.#r.inputs & ~this.#r.dir)
  }

  /** Returns the raw interrupt status: a level counts while it lasts; an edge, until it is cleared. */
  #raw(): number {
    const level = ~(this.#r.inputs ^ this.#r.iev) & this.#r.is & ~this.#r.dir
    return (this.#r.edges & ~this.#r.is) | level
  }

  #read(offset: number): number {
    if (offset < DIR) return this.#levels() & (offset >> 2)
    if (offset === RIS) return this.#raw()
    if (offset === MIS) return this.#raw() & this.#r.ie
    const stored = STORED[offset]
    return stored === undefined ? 0 : this.#r[stored]
  }

  #write(offset: number, value: number): void {
    const stored = STORED[offset]
    if (offset < DIR) {
      const mask = (offset >> 2) & this.#r.dir
      this.#r.data = (this.#r.data & ~mask) | (value & mask)
    } else if (offset === IC) this.#r.edges &= ~value
    else if (stored !== undefined) this.#r[stored] = value
    if (offset <= DIR) this.#tellOutputs()
    if (offset >= DIR) this.#update()
  }

  #tellOutputs(): void {
    this.#options.onOutput?.(this.#r.data & this.#r.dir, this.#r.dir)
  }

  #update(): void {
    this.#line?.set((this.#raw() & this.#r.ie) !== 0)
  }
}

function bit(line: number): number {
  if (!Number.isInteger(line) || line < 0 || line >= LINES)
    throw new DeviceError('ERR_OPTION', `pl061: line ${line}: expected 0 to ${LINES - 1}`)
  return 1 << line
}
