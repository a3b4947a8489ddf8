import type { DeviceModel } from '@retrap/device'
import { VirtioBlock, VirtioConsole, type VirtioDevice, VirtioNet, VirtioPci, VirtioRng } from '@retrap/virtio'
import type { PcSite, PlacedDevices } from '../device-kinds.ts'
import { drivesOf, type PcDrive } from '../drives.ts'
import { MachineError } from '../errors.ts'
import type { PcVirtioDevice } from '../virtio-device.ts'
import type { PcVirtioPlace } from '../virtio-place.ts'

/**
 * Makes virtio disks and other virtio devices, and gives each its place on the PCI bus.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots, random }: Pick<PcSite, 'options' | 'slots' | 'random'>): PlacedDevices {
  const drives = drivesOf(options.drives, 'virtio')
  const devices = options.virtio ?? []
  const places: readonly PcVirtioPlace[] = [...drives.map(({ virtio }) => virtio ?? {}), ...devices]
  const numbers = places.map(({ slot }) => slots.take('virtio', slot))
  const pci = (index: number, device: VirtioDevice): DeviceModel => {
    const { modern, legacy, packed, vectors } = places[index]!
    return new VirtioPci(device, {
      device: numbers[index]!,
      ...(modern !== undefined && { modern }),
      ...(legacy !== undefined && { legacy }),
      ...(packed !== undefined && { packed }),
      ...(vectors !== undefined && { vectors }),
    })
  }
  const disks = drives.map((drive, i) => pci(i, disk(drive, `virtio-blk-${numbers[i]}`)))
  const others = devices.map((device, i) => {
    const index = drives.length + i
    const card = devices.slice(0, i).filter(({ kind }) => kind === 'net').length
    return pci(index, makeDevice(device, numbers[index]!, card, random))
  })
  const bootPaths = drives.map((drive, i) => [drive, `/pci@i0cf8/scsi@${numbers[i]!.toString(16)}/disk@0,0`] as const)
  return { models: [...disks, ...others], bootPaths }
}

/** The addresses that QEMU gives its cards. */
const usualAddress = (card: number): Uint8Array => Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, (0x56 + card) & 0xff)

/** @param card - the number of network cards before it */
function makeDevice(given: PcVirtioDevice, slot: number, card: number, random: () => number): VirtioDevice {
  switch (given.kind) {
    case 'rng':
      return new VirtioRng({ name: `virtio-rng-${slot}`, random })
    case 'console':
      return new VirtioConsole({ name: `virtio-console-${slot}`, ports: given.ports })
    case 'net': {
      const { network, macAddress = network.macAddress ?? usualAddress(card) } = given
      return new VirtioNet({ name: `virtio-net-${slot}`, network, macAddress })
    }
    default:
      return given.device
  }
}

function disk({ medium, media, serialNumber, virtio }: PcDrive, name: string): VirtioBlock {
  if (medium === null || media === 'cdrom')
    throw new MachineError('ERR_OPTION', `${name}: a virtio drive is a disk with a medium; use a drive of IDE for CDs`)
  return new VirtioBlock({
    medium,
    name,
    ...(serialNumber !== undefined && { serialNumber }),
    ...(virtio?.queues !== undefined && { queues: virtio.queues }),
  })
}
