import type { DeviceModel } from '@retrap/device'
import { type VirtioDevice, VirtioMmio, VirtioPci } from '@retrap/virtio'
import type { PciPlace } from './pci-slots.ts'
import type { MachineVirtioPlace } from '../options/pci-options.ts'

/** Puts a virtio device on the PCI bus, with an option ROM if it has one, or at a transport in memory. */
export function virtioFunction(
  device: VirtioDevice,
  { device: number, bus, mmio }: PciPlace,
  place: MachineVirtioPlace,
  rom?: Uint8Array,
): DeviceModel {
  const { modern, legacy, packed, vectors } = place
  if (mmio !== undefined) return new VirtioMmio(device, { ...mmio, packed })
  return new VirtioPci(device, { device: number, bus, modern, legacy, packed, vectors, rom })
}
