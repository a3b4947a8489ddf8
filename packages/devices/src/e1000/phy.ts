import { Stateful } from '@retrap/device'
/*
 * The transceiver, an 88E1011, and the way to its registers.
 *
 * Sources: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §13.4.6, "MDI Control Register",
 * §13.5, "PHY Registers"; IEEE 802.3-2018, §22.2.4, "Management functions".
 */

// MDIC.
const WRITE = 1
const READ = 2
const READY = 1 << 28
const INTERRUPT = 1 << 29
const ERROR = 1 << 30
/** The PHY's address on the management bus. */
const ADDRESS = 1

// Registers.
const CONTROL = 0
const STATUS = 1
const ADVERTISEMENT = 4
const PARTNER = 5
const EXPANSION = 6
const GIGABIT_STATUS = 10
const SPECIFIC_STATUS = 17
const INTERRUPT_ENABLE = 18
const INTERRUPT_STATUS = 19

// Control.
const RESET = 0x8000
const LOOPBACK = 0x4000
const NEGOTIATION = 0x1000
const POWER_DOWN = 0x0800
const RESTART = 0x0200

// Status.
const NEGOTIATED = 0x20
const LINK = 0x04

const SPECIFIC_LINK = 0x0400
const SPECIFIC_RESOLVED = 0x0800
const LINK_CHANGED = 0x0400
const NEGOTIATION_COMPLETED = 0x0800

/** Bits that a driver can change. */
const WRITABLE = new Map([
  [CONTROL, 0x7fc0],
  [ADVERTISEMENT, 0xbfff],
  [7, 0xbfff],
  [9, 0xff00],
  [16, 0xffff],
  [INTERRUPT_ENABLE, 0xffff],
  [20, 0xffff],
  [24, 0xffff],
  [25, 0xffff],
  [29, 0xffff],
  [30, 0xffff],
])

/** Values after a reset; the partner can do all that we can. */
const DEFAULTS: readonly (readonly [register: number, value: number])[] = [
  [CONTROL, 0x1140],
  // 10 and 100 Mbit/s in both modes, extended status, preamble suppression, negotiation, extended registers.
  [STATUS, 0x7949],
  [2, 0x0141],
  [3, 0x0c20],
  [ADVERTISEMENT, 0x0de1],
  [PARTNER, 0],
  [EXPANSION, 0x04],
  [7, 0x2001],
  [9, 0x0e00],
  [15, 0x3000],
  [16, 0x0068],
  [20, 0x0ce4],
  [24, 0x4100],
]

/** The signals of the transceiver to its controller. */
export interface PhyWires {
  /** A driver has had it begin with negotiation: the link is lost until `linkUp` is set. */
  negotiate(): void
  /** A command of MDIC has ended, and its driver wants an interrupt. */
  accessed(): void
}

export class Phy extends Stateful {
  readonly #wires: PhyWires
  readonly #registers = new Uint16Array(32)
  readonly #r = this.keeps({ registers: this.#registers, command: READY })

  constructor(wires: PhyWires) {
    super()
    this.#wires = wires
    this.reset()
  }

  /** Whether the PHY is in loopback: it receives the frames that it sends. */
  get loopsBack(): boolean {
    return (this.#registers[CONTROL]! & LOOPBACK) !== 0
  }

  get isPoweredDown(): boolean {
    return (this.#registers[CONTROL]! & POWER_DOWN) !== 0
  }

  get linkUp(): boolean {
    return (this.#registers[SPECIFIC_STATUS]! & SPECIFIC_LINK) !== 0
  }

  /** The link comes up after negotiation, or is lost. */
  set linkUp(up: boolean) {
    const registers = this.#registers
    if (up) {
      registers[STATUS]! |= LINK | NEGOTIATED
      registers[PARTNER] = 0xcde1
      registers[EXPANSION] = 0x07
      registers[GIGABIT_STATUS] = 0x3c00
      // 1000 Mbit/s, full duplex, a page received.
      registers[SPECIFIC_STATUS] = 0xb000 | SPECIFIC_RESOLVED | SPECIFIC_LINK
      registers[INTERRUPT_STATUS]! |= LINK_CHANGED | NEGOTIATION_COMPLETED
    } else {
      if (this.linkUp) registers[INTERRUPT_STATUS]! |= LINK_CHANGED
      registers[STATUS]! &= ~(LINK | NEGOTIATED)
      registers[PARTNER] = 0
      registers[EXPANSION] = 0x04
      registers[GIGABIT_STATUS] = 0
      registers[SPECIFIC_STATUS] = 0
    }
  }

  /** MDIC. */
  get command(): number {
    return this.#r.command >>> 0
  }

  set command(value: number) {
    const register = (value >>> 16) & 31
    const operation = (value >>> 26) & 3
    const isOurs = ((value >>> 21) & 31) === ADDRESS
    this.#r.command = value & ~(READY | ERROR)
    if (!isOurs || (operation !== READ && operation !== WRITE)) this.#r.command |= ERROR
    else if (operation === READ) this.#r.command = (this.#r.command & ~0xffff) | this.#read(register)
    else this.#write(register, value & 0xffff)
    this.#r.command |= READY
    if ((value & INTERRUPT) !== 0) this.#wires.accessed()
  }

  #read(register: number): number {
    const value = this.#registers[register]!
    if (register === INTERRUPT_STATUS) this.#registers[register] = 0
    return value
  }

  #write(register: number, value: number): void {
    const mask = WRITABLE.get(register) ?? 0
    const registers = this.#registers
    registers[register] = (registers[register]! & ~mask) | (value & mask)
    if (register !== CONTROL) return
    if ((value & RESET) !== 0) {
      const kept = registers[INTERRUPT_ENABLE]!
      this.reset()
      registers[INTERRUPT_ENABLE] = kept
      this.#wires.negotiate()
      return
    }
    const restarts = (value & NEGOTIATION) !== 0 && (value & RESTART) !== 0
    // The bit clears itself.
    registers[CONTROL]! &= ~RESTART
    if (restarts || this.isPoweredDown === this.linkUp) this.#wires.negotiate()
  }

  override reset(): void {
    this.#registers.fill(0)
    for (const [register, value] of DEFAULTS) this.#registers[register] = value
    this.#r.command = READY
  }
}
