import type { BlockBackend } from '@retrap/device'
import type { MachinePciPlace, MachineVirtioPlace } from './pci-options.ts'

/** A virtio disk's place and queues. */
export interface MachineVirtioDisk extends MachineVirtioPlace {
  /** Queues of requests, 1 to 64; default 1. */
  readonly queues?: number | undefined
}

/** How an NVMe drive lies on the PCI bus. */
export interface MachineNvmePlace extends MachinePciPlace {
  /** Pairs of I/O queues, 1 to 64; default 8. */
  readonly queues?: number | undefined
}

/** A drive's place at the SCSI controller. */
export interface MachineScsiPlace {
  /** Target, 0 to 255; default the lowest free one. */
  readonly target?: number | undefined
}

/** A disk, or a drive for CDs. */
export interface MachineDrive {
  /** Names a CD or floppy drive for `pc.drive`. Default `cd0`, `cd1` and so on in the order of the drives; floppy drive A is `floppy0`, B is `floppy1`. */
  readonly id?: string | undefined
  /** The medium: an image of `@retrap/block`, or a back end of yours. A CD or floppy drive may have none (null). */
  readonly medium: BlockBackend | null
  /** Default `disk`. */
  readonly media?: 'disk' | 'cdrom' | undefined
  /** How the guest reaches it: as a drive of the IDE controller, of a `q35` the SATA one (default), by a controller of its own, as a drive of the SCSI controller, as a stick of the USB controller, or as floppy drive A or B. */
  readonly interface?: 'ide' | 'virtio' | 'nvme' | 'scsi' | 'usb' | 'floppy' | undefined
  /** Place on the PCI bus, and its queues, with `interface: 'virtio'`. */
  readonly virtio?: MachineVirtioDisk | undefined
  /** Place with `interface: 'nvme'`. */
  readonly nvme?: MachineNvmePlace | undefined
  /** Place with `interface: 'scsi'`; all such drives share one controller. */
  readonly scsi?: MachineScsiPlace | undefined
  /**
   * With IDE, its place: 0 and 1 on the primary cable, 2 and 3 on the secondary one; with SATA its port, 0 to 5. Default
   * the first free one; of a CD drive 2, if free. Of floppy drives 0 is A, and 1 B.
   */
  readonly index?: number | undefined
  /** Firmware tries drives with a boot index first, in ascending order. */
  readonly bootIndex?: number | undefined
  /** At most 20 ASCII characters. */
  readonly serialNumber?: string | undefined
  /** At most 40 ASCII characters, 16 of a CD drive. */
  readonly model?: string | undefined
}

/** The devices that firmware boots from. */
export interface MachineBootOptions {
  /** Kinds of device in the order to try them: `a` floppies, `c` disks, `d` CD drives, `n` network cards with a ROM. Default `cad`. */
  readonly order?: string | undefined
  /** Whether firmware waits for Escape and offers its menu. Default false. */
  readonly menu?: boolean | undefined
  /**
   * Whether SeaBIOS writes its video BIOS's output to the first serial port too, for users without a screen. A boot loader that
   * writes to both by itself, as GRUB may, is there twice then. Default true; without a VGA the text goes there alone.
   */
  readonly mirrorsScreen?: boolean | undefined
}

/** A device that firmware can boot from. */
export interface BootDevice {
  readonly media?: 'disk' | 'cdrom' | 'floppy' | 'network' | undefined
  readonly bootIndex?: number | undefined
}

/** A device with its path in firmware's `bootorder` file. */
export type BootPath = readonly [device: BootDevice, path: string]

const LETTERS = { floppy: 'a', disk: 'c', cdrom: 'd', network: 'n' } as const

const DEFAULT_ORDER = 'cad'

/** Drives with this interface, in order. */
export function drivesOf(
  drives: readonly MachineDrive[] | undefined,
  name: NonNullable<MachineDrive['interface']>,
): readonly MachineDrive[] {
  return (drives ?? []).filter((drive) => (drive.interface ?? 'ide') === name)
}

/**
 * Paths of firmware's `bootorder` file: devices with a number, then devices by letters, drives of IDE first.
 *
 * Source: SeaBIOS, docs/Runtime_config.md, "bootorder".
 *
 * @param paths - of all devices, in the order of their places
 */
export function bootOrder(paths: readonly BootPath[], order: string = DEFAULT_ORDER): string[] {
  const numbered = paths
    .filter(([{ bootIndex }]) => bootIndex !== undefined)
    .toSorted(([a], [b]) => a.bootIndex! - b.bootIndex!)
  const letters = [...order, ...DEFAULT_ORDER]
  const others = letters.flatMap((letter) => paths.filter(([{ media = 'disk' }]) => LETTERS[media] === letter))
  return [...new Set([...numbered, ...others].map(([, at]) => at))]
}
