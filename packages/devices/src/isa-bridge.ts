import { type DeviceContext, type DeviceModel, type InterruptLine, type PciFunction, Stateful } from '@retrap/device'
import { checkDeviceNumber, storage } from './pci-device-number.ts'
import { PciLinks } from './pci-links.ts'

const PIRQ_ROUTE_FIRST = 0x60
const LINKS = 4
const ROUTE_DISABLED = 0x80

/**
 * Returns the link that the interrupt pin of a PCI function on bus 0 is wired to: see {@link IsaBridge}.
 *
 * @param device - PCI device number
 * @param pin - 1 to 4 for INTA to INTD
 * @returns 0 to 3 for links A to D, which drive I/O APIC inputs from 16 on
 */
export function interruptLink(device: number, pin: number): number {
  return (device + pin - 2) & 3
}

/** Options of {@link IsaBridge}. */
export interface IsaBridgeOptions {
  /** PCI device number on bus 0; default 1. */
  readonly device?: number
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
export class IsaBridge extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'isa-bridge'
  readonly #device: number
  readonly #links: PciLinks = new PciLinks({
    links: LINKS,
    linkOf: interruptLink,
    route: (link) => this.#bridge?.config[PIRQ_ROUTE_FIRST + link] ?? ROUTE_DISABLED,
  })
  #bridge: PciFunction | null = null

  constructor(options: IsaBridgeOptions = {}) {
    super()
    this.#device = options.device ?? 1
    checkDeviceNumber('isa-bridge', this.#device)
    this.keeps({ version: 1, wires: this.#links })
  }

  /** Adds the PCI function and takes the lines that links drive. */
  attach(context: DeviceContext): void {
    this.#links.attach(context)
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
        ...storage(0xa4, 3),
      ],
      onWrite: (register: number, size: number): void => {
        if (register + size > PIRQ_ROUTE_FIRST && register < PIRQ_ROUTE_FIRST + LINKS) this.#links.update()
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
    return this.#links.input(device, pin)
  }
}
