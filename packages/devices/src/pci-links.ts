import type { DeviceContext, InterruptLine } from '@retrap/device'

/** Bit 7 of a route register: the link reaches no ISA line. */
const ROUTE_DISABLED = 0x80
const ROUTE_IRQ = 0x0f
/** ISA lines that a route may name; the rest are reserved or belong to the board. */
const ROUTABLE = 0xdef8
const PINS = 4
/** I/O APIC input of link A; the others follow. */
export const FIRST_LINK_GSI = 16

/** The wiring of a chipset's PCI interrupt links. */
export interface PciLinksOptions {
  /** Number of links, from A on. */
  readonly links: number
  /** The link that a pin (1 to 4) of a device on bus 0 is wired to. */
  readonly linkOf: (device: number, pin: number) => number
  /** The route register of a link. */
  readonly route: (link: number) => number
}

/**
 * The links that the interrupt pins of PCI functions are wired to. A link drives its I/O APIC input always, and the ISA
 * line that its route register names while bit 7 is clear.
 */
export class PciLinks {
  readonly #options: PciLinksOptions
  /** Asserted pins by device: bit pin − 1. */
  readonly #wires = new Uint8Array(32)
  /** Number of functions that assert each pin: functions behind a root port share the port's pins. */
  readonly #holders = new Uint16Array(32 * PINS)
  readonly #gsiLines: InterruptLine[] = []
  /** One holder a link and ISA line, so that links that share a line are ORed. */
  readonly #isaLines: (InterruptLine | null)[]
  readonly #isaRoutes: number[]
  #context: DeviceContext | null = null

  constructor(options: PciLinksOptions) {
    this.#options = options
    this.#isaLines = Array.from({ length: options.links }, () => null)
    this.#isaRoutes = Array.from({ length: options.links }, () => -1)
  }

  /** Takes the lines that the links drive. */
  attach(context: DeviceContext): void {
    this.#context = context
    for (let link = 0; link < this.#options.links; link++) {
      this.#gsiLines.push(context.interruptLine(FIRST_LINK_GSI + link))
    }
  }

  /** A wire to the pin (1 to 4) of a device on bus 0: the levels of all wires to a pin are ORed. */
  input(device: number, pin: number): InterruptLine {
    const bit = 1 << (pin - 1)
    const at = device * PINS + pin - 1
    let mine = false
    const set = (level: boolean): void => {
      if (level !== mine) this.#holders[at]! += level ? 1 : -1
      mine = level
      const before = this.#wires[device]!
      const after = this.#holders[at]! > 0 ? before | bit : before & ~bit
      if (after === before) return
      this.#wires[device] = after
      this.#drive(this.#options.linkOf(device, pin))
    }
    return {
      set,
      pulse: (): void => {
        set(true)
        set(false)
      },
    }
  }

  #level(link: number): boolean {
    for (let device = 0; device < this.#wires.length; device++) {
      const pins = this.#wires[device]!
      if (pins === 0) continue
      for (let pin = 1; pin <= PINS; pin++) {
        if ((pins & (1 << (pin - 1))) !== 0 && this.#options.linkOf(device, pin) === link) return true
      }
    }
    return false
  }

  #drive(link: number): void {
    const level = this.#level(link)
    this.#gsiLines[link]?.set(level)
    const route = this.#options.route(link)
    const irq = route & ROUTE_IRQ
    const target = (route & ROUTE_DISABLED) === 0 && ((ROUTABLE >> irq) & 1) !== 0 ? irq : -1
    if (target !== this.#isaRoutes[link]) {
      this.#isaLines[link]?.set(false)
      this.#isaRoutes[link] = target
      this.#isaLines[link] = target < 0 ? null : (this.#context?.interruptLine(target) ?? null)
    }
    this.#isaLines[link]?.set(level)
  }

  /** Follows route registers, or a change of the wiring. */
  update(): void {
    for (let link = 0; link < this.#options.links; link++) this.#drive(link)
  }

  /** All pins are low. */
  reset(): void {
    this.#wires.fill(0)
    this.update()
  }

  /** Levels of the pins: bit `pin - 1` of element `device`. */
  save(): number[] {
    return [...this.#wires]
  }

  restore(wires: readonly number[]): void {
    this.#wires.set(wires)
    this.update()
  }
}

/** Devices of an ICH9 from this one on are its own: registers say which links their pins are wired to. */
export const ICH_FIRST_OWN_DEVICE: number = 25

/**
 * Returns the link that the interrupt pin of a PCI function on bus 0 is wired to after a reset: see `IchLpc`.
 *
 * @param device - PCI device number
 * @param pin - 1 to 4 for INTA to INTD
 * @returns 0 to 7 for links A to H, which drive I/O APIC inputs from 16 on
 */
export function ichInterruptLink(device: number, pin: number): number {
  return device >= ICH_FIRST_OWN_DEVICE ? pin - 1 : 4 + ((device + pin - 1) & 3)
}
