import { type VirtioDevice, VirtioPci } from '@retrap/virtio'
import type { PciPlace } from '../devices/pci-slots.ts'
import type { MachineVirtioPlace } from '../options/pci-options.ts'

/** Puts a virtio device on the PCI bus, with an option ROM if it has one. */
export function virtioFunction(
  device: VirtioDevice,
  { device: number, bus }: PciPlace,
  place: MachineVirtioPlace,
  rom?: Uint8Array,
): VirtioPci {
  const { modern, legacy, packed, vectors } = place
  return new VirtioPci(device, {
    device: number,
    ...(bus !== undefined && { bus }),
    ...(modern !== undefined && { modern }),
    ...(legacy !== undefined && { legacy }),
    ...(packed !== undefined && { packed }),
    ...(vectors !== undefined && { vectors }),
    ...(rom !== undefined && { rom }),
  })
}
