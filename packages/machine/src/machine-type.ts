import { ichInterruptLink, interruptLink } from '@retrap/devices'

/** Which board a PC has: an i440FX with a PIIX3, or a Q35 with an ICH9 and PCI Express. */
export type MachineType = 'pc' | 'q35'

/** The RAM behind the VGA window, which processors in system-management mode see. */
export const SMRAM_BYTES: number = 0x2_0000

/** Places of a chipset's parts. */
interface Chipset {
  /** PCI device number of the ISA or LPC bridge, whose functions the board's other PCI parts are. */
  readonly isaBridgeDevice: number
  /** The highest PCI device number that is not the board's. */
  readonly lastSlot: number
  /** Interrupt links, which drive I/O APIC inputs from 16 on. */
  readonly links: number
  /** The link of a function's pin (1 to 4). */
  readonly linkOf: (device: number, pin: number) => number
  /** Most RAM below 4 GiB. */
  readonly lowRamLimit: number
  /** PCI Express configuration space, unless firmware moves it. */
  readonly ecam: { readonly base: number; readonly buses: number } | undefined
}

/** The facts for the tables of each board. The places are QEMU's, for which firmware is made. */
export const CHIPSETS: { readonly pc: Chipset; readonly q35: Chipset & { readonly ecam: object } } = {
  pc: { isaBridgeDevice: 1, lastSlot: 31, links: 4, linkOf: interruptLink, lowRamLimit: 0xc000_0000, ecam: undefined },
  q35: {
    isaBridgeDevice: 31,
    lastSlot: 30,
    links: 8,
    linkOf: ichInterruptLink,
    lowRamLimit: 0xb000_0000,
    ecam: { base: 0xb000_0000, buses: 256 },
  },
}
