import type { DeviceModel } from '@retrap/device'
import { VirtioBlock, VirtioConsole, type VirtioDevice, VirtioNet, VirtioRng } from '@retrap/virtio'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { type BootPath, drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { usualMacAddress } from '../options/network-card.ts'
import { PLAIN_VIRTIO, type MachineVirtioDevice, virtioOf } from '../options/virtio-device.ts'
import type { MachineVirtioPlace } from '../options/pci-options.ts'
import { virtioFunction } from './virtio-function.ts'

/**
 * Makes virtio disks and other virtio devices, and gives each its place on the PCI bus.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots, random }: Pick<DeviceSite, 'options' | 'slots' | 'random'>): PlacedDevices {
  const drives = drivesOf(options.drives, 'virtio')
  const devices = virtioOf(options.virtio, ...PLAIN_VIRTIO)
  const places: readonly MachineVirtioPlace[] = [...drives.map(({ virtio }) => virtio ?? {}), ...devices]
  const placed = places.map((wanted) => slots.place('virtio', wanted))
  const pci = (index: number, device: VirtioDevice, rom?: Uint8Array): DeviceModel =>
    virtioFunction(device, placed[index]!, places[index]!, rom)
  const disks = drives.map((drive, i) => pci(i, disk(drive, `virtio-blk-${placed[i]!.label}`)))
  const others = devices.map((device, i) => {
    const index = drives.length + i
    const card = devices.slice(0, i).filter(({ kind }) => kind === 'net').length
    const rom = device.kind === 'net' ? device.rom : undefined
    return pci(index, makeDevice(device, placed[index]!.label, card, random), rom)
  })
  const bootPaths = drives.map((drive, i) => [drive, `${placed[i]!.path('scsi')}/disk@0,0`] as const)
  const cardPaths = devices.flatMap((device, i): BootPath[] =>
    device.kind === 'net'
      ? [[{ ...device, media: 'network' }, `${placed[drives.length + i]!.path('ethernet')}/ethernet-phy@0`]]
      : [],
  )
  const fromHost = others.filter((_, i) => devices[i]!.kind === 'device')
  return { models: [...disks, ...others], fromHost, bootPaths: [...bootPaths, ...cardPaths] }
}

type PlainVirtio = Extract<MachineVirtioDevice, { readonly kind: (typeof PLAIN_VIRTIO)[number] }>

/** @param card - number of network cards in front of this one */
function makeDevice(given: PlainVirtio, slot: string, card: number, random: () => number): VirtioDevice {
  switch (given.kind) {
    case 'rng':
      return new VirtioRng({ name: `virtio-rng-${slot}`, random })
    case 'console':
      return new VirtioConsole({ name: `virtio-console-${slot}`, ports: given.ports })
    case 'net': {
      const { network, macAddress = network.macAddress ?? usualMacAddress(card) } = given
      return new VirtioNet({ name: `virtio-net-${slot}`, network, macAddress })
    }
    default:
      return given.device
  }
}

function disk({ medium, media, serialNumber, virtio }: MachineDrive, name: string): VirtioBlock {
  if (medium === null || media === 'cdrom')
    throw new MachineError('ERR_OPTION', `${name}: a virtio drive is a disk with a medium; use a drive of IDE for CDs`)
  return new VirtioBlock({ medium, name, serialNumber, queues: virtio?.queues })
}
