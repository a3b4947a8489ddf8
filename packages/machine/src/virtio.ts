import { type DeviceModel, DeviceError, type PacketBackend } from '@retrap/device'
import {
  VirtioBlock,
  VirtioConsole,
  type VirtioConsolePort,
  type VirtioDevice,
  VirtioNet,
  VirtioPci,
  VirtioRng,
} from '@retrap/virtio'
import type { BootPath, PcDrive } from './drives.ts'
import { MachineError } from './errors.ts'
import type { PciSlots } from './pci-slots.ts'
import type { PcVirtioPlace } from './virtio-place.ts'

/** A virtio device of a PC, beside its disks. */
export type PcVirtioDevice = PcVirtioPlace &
  (
    | {
        /** An entropy source. */
        readonly kind: 'rng'
      }
    | {
        /** A console, with further ports for bytes. */
        readonly kind: 'console'
        /** Its ports; the first is a console (`hvc0` of Linux) unless it says otherwise. */
        readonly ports: readonly VirtioConsolePort[]
      }
    | {
        /** A network card. */
        readonly kind: 'net'
        /** The network: one of `@retrap/network`, or a back end of yours. */
        readonly network: PacketBackend
        /** Its address, six bytes; default what the network prescribes, or 52:54:00:12:34:56 for the first card, 57 and so on. */
        readonly macAddress?: Uint8Array | undefined
      }
    | {
        /** A device of your own. */
        readonly kind: 'device'
        /** What it is. */
        readonly device: VirtioDevice
      }
  )

/** What virtio devices are made of. */
export interface PcVirtioParts {
  /** Drives of `interface: 'virtio'`, in order. */
  readonly drives: readonly PcDrive[]
  /** Other devices, in order. */
  readonly devices: readonly PcVirtioDevice[]
  /** PCI device numbers. */
  readonly slots: PciSlots
  /** Returns 32 random bits. */
  readonly random: () => number
}

/** Models of virtio devices, and where firmware finds the disks. */
export interface PlacedVirtio {
  /** In the order of drives, then of devices. */
  readonly models: readonly DeviceModel[]
  /** In the order of drives. */
  readonly bootPaths: readonly BootPath[]
}

/**
 * Makes virtio devices and gives each its place on the PCI bus.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function placeVirtio({ drives, devices, slots, random }: PcVirtioParts): PlacedVirtio {
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
  try {
    const disks = drives.map((drive, i) => pci(i, disk(drive, `virtio-blk-${numbers[i]}`)))
    const others = devices.map((device, i) => {
      const index = drives.length + i
      const card = devices.slice(0, i).filter(({ kind }) => kind === 'net').length
      return pci(index, makeDevice(device, numbers[index]!, card, random))
    })
    const bootPaths = drives.map((drive, i) => [drive, `/pci@i0cf8/scsi@${numbers[i]!.toString(16)}/disk@0,0`] as const)
    return { models: [...disks, ...others], bootPaths }
  } catch (error) {
    if (error instanceof DeviceError) throw new MachineError('ERR_OPTION', error.message, { cause: error })
    throw error
  }
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
