import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type PciFunction,
  savedState,
} from '@retrap/device'

const PIRQ_ROUTE_FIRST = 0x60
const LINKS = 4
/** Bit 7 of a route register: the link reaches no ISA line. */
const ROUTE_DISABLED = 0x80
const ROUTE_IRQ = 0x0f
/** ISA lines that a route may name; the rest are reserved or belong to the board. */
const ROUTABLE = 0xdef8
/** I/O APIC input of link A; links B to D follow. */
export const FIRST_LINK_GSI = 16

/**
 * Returns the link that the interrupt pin of a PCI function on bus 0 is wired to: see {@link IsaBridge}.
 *
 * @param device - PCI device number
 * @param pin - 1 to 4 for INTA to INTD
 * @returns 0 to 3 for links A to D, which drive I/O APIC inputs from {@link FIRST_LINK_GSI} on
 */
export function interruptLink(device: number, pin: number): number {
  return (device + pin - 2) & 3
}

/** Options of {@link IsaBridge}. */
export interface IsaBridgeOptions {
  /** PCI device number on bus 0; default 1. */
  readonly device?: number
}

/** Saved form of an {@link IsaBridge}. */
export interface IsaBridgeState {
  /** Layout of the state. */
  readonly version: 1
  /** Levels of the functions' INTx wires: bit `pin - 1` of element `device`. */
  readonly wires: readonly number[]
}

/**
 * 82371SB (PIIX3) PCI-to-ISA bridge: identity, and the routing of PCI
 * interrupts. Pin p of device d is link (d + p − 2) mod 4, so that INTA of
 * device 1 is link A: firmware made for QEMU's board relies on that wiring
 * when it fills in interrupt line registers and the $PIR table. A link drives
 * I/O APIC input 16 + link always, and the ISA line that its PIRQ route
 * register names while bit 7 is clear.
 *
 * A machine gives `interruptInput` to its device host as the wire of each
 * function's pin.
 *
 * Source: Intel 82371SB data sheet (290550), "PIRQx Route Control Registers".
 */
export class IsaBridge implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'isa-bridge'
  readonly #device: number
  /** Asserted pins by device: bit pin − 1. */
  readonly #wires = new Uint8Array(32)
  readonly #gsiLines: InterruptLine[] = []
  /** One holder a link and ISA line, so that links that share a line are ORed. */
  readonly #isaLines: (InterruptLine | null)[] = Array.from({ length: LINKS }, () => null)
  readonly #isaRoutes: number[] = Array.from({ length: LINKS }, () => -1)
  #context: DeviceContext | null = null
  #bridge: PciFunction | null = null

  constructor(options: IsaBridgeOptions = {}) {
    this.#device = options.device ?? 1
    if (!Number.isInteger(this.#device) || this.#device < 1 || this.#device > 31)
      throw new DeviceError('ERR_OPTION', `isa-bridge: PCI device ${this.#device}: expected an integer from 1 to 31`)
  }

  /** Adds the PCI function and takes the lines that links drive. */
  attach(context: DeviceContext): void {
    this.#context = context
    for (let link = 0; link < LINKS; link++) this.#gsiLines.push(context.interruptLine(FIRST_LINK_GSI + link))
    this.#bridge = context.pci.add({
      device: this.#device,
      vendorId: 0x8086,
      deviceId: 0x7000,
      classCode: 0x06_0100,
      headerType: 0x80,
      writable: [
        [0x4c, 0xffff_ffff, 0x0003_004d],
        [PIRQ_ROUTE_FIRST, 0x8f8f_8f8f, 0x8080_8080],
        [0x68, 0xff],
        [0x6c, 0xffff],
        [0x80, 0x7fff],
        [0xa0, 0xffff_ffff, 0x0000_0008],
        [0xa4, 0xffff_ffff],
        [0xa8, 0xffff_ffff],
        [0xac, 0xffff_ffff],
      ],
      onWrite: (register: number, size: number): void => {
        if (register + size > PIRQ_ROUTE_FIRST && register < PIRQ_ROUTE_FIRST + LINKS) this.#update()
      },
    })
  }

  /**
   * The wire of one function's interrupt pin.
   *
   * @param device - PCI device number on bus 0
   * @param pin - 1 to 4 for INTA to INTD
   */
  interruptInput(device: number, pin: number): InterruptLine {
    const bit = 1 << (pin - 1)
    const link = interruptLink(device, pin)
    const set = (level: boolean): void => {
      const before = this.#wires[device]!
      const after = level ? before | bit : before & ~bit
      if (after === before) return
      this.#wires[device] = after
      this.#drive(link)
    }
    return {
      set,
      pulse: (): void => {
        set(true)
        set(false)
      },
    }
  }

  #linkLevel(link: number): boolean {
    for (let device = 0; device < this.#wires.length; device++) {
      const pins = this.#wires[device]!
      if (pins !== 0 && (pins & (1 << ((link - device + 1) & 3))) !== 0) return true
    }
    return false
  }

  #drive(link: number): void {
    const level = this.#linkLevel(link)
    this.#gsiLines[link]?.set(level)
    const route = this.#bridge?.config[PIRQ_ROUTE_FIRST + link] ?? ROUTE_DISABLED
    const irq = route & ROUTE_IRQ
    const target = (route & ROUTE_DISABLED) === 0 && ((ROUTABLE >> irq) & 1) !== 0 ? irq : -1
    if (target !== this.#isaRoutes[link]) {
      this.#isaLines[link]?.set(false)
      this.#isaRoutes[link] = target
      this.#isaLines[link] = target < 0 ? null : (this.#context?.interruptLine(target) ?? null)
    }
    this.#isaLines[link]?.set(level)
  }

  #update(): void {
    for (let link = 0; link < LINKS; link++) this.#drive(link)
  }

  /** Returns the registers to their state at power-on. */
  reset(): void {
    this.#wires.fill(0)
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): IsaBridgeState {
    return { version: 1, wires: [...this.#wires] }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    this.#wires.set(savedState<IsaBridgeState>(this.name, state, 1).wires)
    this.#update()
  }
}
