import type { BlockBackend, PacketBackend } from '@retrap/device'
import type { MachineDrive } from '../options/drives.ts'
import type { MachineNetworkCard } from '../options/network-card.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { MachinePciPlace } from '../options/pci-options.ts'
import { hasVga } from '../options/vga.ts'
import { type MachineVirtioDevice, virtioOf } from '../options/virtio-device.ts'

/** Interfaces of drives whose controllers can run in another thread. */
const MOVED: ReadonlySet<MachineDrive['interface']> = new Set([undefined, 'ide', 'virtio', 'nvme', 'scsi'] as const)

/** Whether a drive's controller may run in another thread. Behind a root port it is plugged in and out, in the machine's. */
export const moves = ({ interface: by, virtio, nvme }: MachineDrive): boolean =>
  MOVED.has(by) && isOnRoot(virtio ?? nvme ?? {})

/** Whether a device is on bus 0, and not behind a root port. */
export const isOnRoot = ({ port }: MachinePciPlace): boolean => port === undefined

/** A virtio device of one kind. */
type Virtio<Kind extends MachineVirtioDevice['kind']> = Extract<MachineVirtioDevice, { readonly kind: Kind }>

/** The controllers of a machine that run in a thread of their own. */
export interface MovedControllers {
  readonly machine: PcOptions['machine']
  readonly memoryBytes: number
  readonly clock: PcOptions['clock']
  readonly vga: 'none'
  /** Drives; absent: no IDE controller either. */
  readonly drives?: readonly MachineDrive[]
  readonly virtio: readonly (Virtio<'net'> | Virtio<'scsi'>)[]
  readonly networkCards: readonly MachineNetworkCard[]
}

/** Splits a machine's options into controllers for another thread, and the rest. */
export function splitControllers(options: PcOptions): { readonly moved: MovedControllers; readonly local: PcOptions } {
  const { machine, memoryBytes, drives = [], virtio = [], networkCards = [], clock } = options
  const isMoved = (one: MachineVirtioDevice): boolean => (one.kind === 'net' || one.kind === 'scsi') && isOnRoot(one)
  const moved = {
    machine,
    memoryBytes,
    clock,
    vga: 'none' as const,
    ...((options.drives?.length === 0 || drives.some(moves)) && { drives: drives.filter(moves) }),
    virtio: virtioOf(virtio.filter(isMoved), 'net', 'scsi'),
    networkCards: networkCards.filter(isOnRoot),
  }
  const localDrives = drives.filter((drive) => !moves(drive))
  const { drives: _drives, ...rest } = options
  // Whether a machine has a default VGA depends on its drives.
  const vga = hasVga(options) ? 'std' : (options.vga ?? 'none')
  // An empty list would ask for a controller without drives.
  const local = {
    ...{ ...rest, vga, virtio: virtio.filter((one) => !isMoved(one)) },
    networkCards: networkCards.filter((card) => !isOnRoot(card)),
    ...(localDrives.length > 0 && { drives: localDrives }),
  }
  return { moved, local }
}

/** Returns the same controllers with other media and networks. */
export function withBackEnds(
  moved: MovedControllers,
  medium: (drive: number) => BlockBackend | null,
  network: (card: number) => PacketBackend,
): MovedControllers {
  let card = 0
  return {
    ...moved,
    ...(moved.drives && { drives: moved.drives.map((drive, i) => ({ ...drive, medium: medium(i) })) }),
    virtio: moved.virtio.map((one) => (one.kind === 'net' ? { ...one, network: network(card++) } : one)),
    networkCards: moved.networkCards.map((one) => ({ ...one, network: network(card++) })),
  }
}
