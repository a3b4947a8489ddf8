import { placeDevices } from '../kinds/device-kinds.ts'
import type { PlaceDevices } from '../kinds/placed-devices.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import type { DevicePlace, MachineDevices } from '../machine/board.ts'
import type { ArmMachineOptions } from './machine-options.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { hasVga } from '../options/vga.ts'
import { gsiOfSpi, VIRT } from './layout.ts'

/** The host bridge has the first number, and the SATA controller the last. */
const FIRST_FREE_SLOT = 1
const LAST_FREE_SLOT = 30
const SATA = { device: 31, function: 0 } as const
/** The graphics card, where there is one. */
const VGA_SLOT = LAST_FREE_SLOT

/** The options of a PC that has the same devices on the PCI bus; SATA and root ports are those of a `q35`. */
export function pciOptions(given: MachineOptions): PcOptions {
  const { memoryBytes, drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse } = given
  const { vga = 'none', preferredMode, screen, boot, generation, clock } = given
  const options = { drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse, preferredMode, screen, boot }
  return { memoryBytes, ...options, generation, clock, machine: 'q35', vga }
}

/**
 * Makes the devices on the PCI bus; they are not attached yet.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function placeArmDevices(
  kinds: readonly PlaceDevices[],
  given: ArmMachineOptions,
  place: DevicePlace,
): MachineDevices {
  const options = pciOptions(given)
  const transports = { ...VIRT.virtio, irq: gsiOfSpi(VIRT.virtio.spi), taken: given.virtioMmio?.length ?? 0 }
  const slots = new PciSlots(FIRST_FREE_SLOT, wantedSlots(options), LAST_FREE_SLOT, transports)
  const site = {
    ...{ ...place, options, slots, sata: SATA, flash: [] },
    generation: { address: VIRT.generation.base, irq: gsiOfSpi(VIRT.generation.spi) },
    ...(hasVga(options) && { vga: { device: slots.take('vga', VGA_SLOT) } }),
    inSystemManagement: () => false,
  }
  return { ...placeDevices(kinds, site), site, ready: [] }
}
