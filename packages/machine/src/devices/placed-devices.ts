import type { DeviceModel } from '@retrap/device'
import type { Screen } from '@retrap/display'
import type { BootPath } from '../options/drives.ts'
import type { InputSwitch } from '../input/input-switch.ts'
import type { RandomSource } from '../lifecycle/host.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { PciSlots } from './pci-slots.ts'

/** Address of a machine's generation ID, and the line that reports a new ID. */
export interface GenerationPlace {
  readonly address: number
  readonly irq: number
}

/** The machine that devices are made for. */
export interface DeviceSite {
  readonly options: PcOptions
  /** PCI device numbers of bus 0. */
  readonly slots: PciSlots
  /** Place of the SATA controller; default 00:1f.2, a function of the south bridge of a `q35`. */
  readonly sata?: { readonly device: number; readonly function: number }
  /** Place of the graphics card, on a board without the old places of a VGA; default that of a PC. */
  readonly vga?: { readonly device: number }
  /** Place of the page with the generation's identifier; default that of a PC. */
  readonly generation?: GenerationPlace
  /** Returns 32 random bits. */
  readonly random: () => number
  /** Shares the machine's keyboard between devices. */
  readonly keyboard: InputSwitch
  /** Shares the machine's mouse between devices. */
  readonly mouse: InputSwitch
  /** The screen that a graphics card draws on. */
  readonly screen: Screen
  /** Whether the accessing processor is in system-management mode. */
  readonly inSystemManagement: () => boolean
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
}

/** Models of devices, with the facts that the machine needs about them. */
export interface PlacedDevices {
  /** Device models, in the order in which the machine attaches them. */
  readonly models: readonly DeviceModel[]
  /** The models that use a resource of the host, and so are not wholly this repository's. */
  readonly fromHost?: readonly DeviceModel[]
  /** Paths by which firmware finds the drives. */
  readonly bootPaths?: readonly BootPath[]
  /** Types of floppy drives, as encoded in CMOS. */
  readonly floppies?: readonly number[]
  /** Resolves when the media hold all writes of the guest. */
  readonly settled?: () => Promise<unknown>
  /** Called with the guest's write to fw_cfg's `etc/ramfb`. */
  readonly onRamfb?: (configuration: Uint8Array) => void
  /** The machine goes on from an earlier instant, maybe not for the first time. @param random - its numbers from then on */
  readonly goesOn?: (random: RandomSource) => void
}

/** Makes all devices of a kind. @throws DeviceError or MachineError for options that no device can have */
export type PlaceDevices = (site: DeviceSite) => PlacedDevices
