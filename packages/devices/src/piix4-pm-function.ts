import type { DeviceContext, PciFunction } from '@retrap/device'

// Registers of the 82371AB's power-management function.
const PMBA = 0x40
const PMBA_MASK = 0xffc0
const DEVACTB = 0x58
/** Writes to the SMI command port are seen. Firmware that finds it set leaves system-management mode alone. */
const APMC_EN = 1 << 25
const PMREGMISC = 0x80
const PMIOSE = 1 << 0

/** Place and hooks of a {@link Piix4PmFunction}. */
export interface Piix4PmFunctionOptions {
  /** PCI device number. */
  readonly device: number
  /** Whether SMI commands are seen at power-on. */
  readonly seesCommands: boolean
  /** Firmware has changed the place of the block, or its enable bit. */
  readonly onChange: () => void
}

/**
 * Function 3 of an 82371AB: where firmware has placed the power-management block, and whether SMI commands are seen.
 *
 * Source: Intel 82371AB data sheet (290562), "Power Management PCI Configuration Registers".
 */
export class Piix4PmFunction {
  readonly #pci: PciFunction

  constructor(context: DeviceContext, { device, seesCommands, onChange }: Piix4PmFunctionOptions) {
    this.#pci = context.pci.add({
      device,
      function: 3,
      vendorId: 0x8086,
      deviceId: 0x7113,
      revisionId: 3,
      classCode: 0x06_8000,
      writable: [
        [PMBA, PMBA_MASK, 1],
        [DEVACTB, 0xffff_ffff, seesCommands ? APMC_EN : 0],
        [PMREGMISC, PMIOSE],
        // SMBus host controller: a base that is not connected.
        [0x90, 0xfff0, 1],
        [0xd0, 0x000f_0000],
      ],
      onWrite: onChange,
    })
  }

  /** First port of the block, null while it is not decoded. */
  get base(): number | null {
    const { config } = this.#pci
    const base = (config[PMBA]! | (config[PMBA + 1]! << 8)) & PMBA_MASK
    return (config[PMREGMISC]! & PMIOSE) !== 0 && base !== 0 ? base : null
  }

  /** Whether DEVACTB lets commands raise SMI#. */
  get seesCommands(): boolean {
    return (this.#pci.config[DEVACTB + 3]! & (APMC_EN >>> 24)) !== 0
  }
}
