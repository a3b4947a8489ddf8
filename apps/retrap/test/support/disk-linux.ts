import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers, type DebianMembers } from '@retrap/tooling/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { FIRST_PROCESS, WRITE_AGENT } from './first-process.ts'
import { addModule, moduleFiles } from '@retrap/linux-guest/linux/kernel-modules'

/** Drivers of the PIIX, of disks and CDs, and the CD's file system; ext4 is part of the kernel. */
const DRIVERS = ['ata_piix', 'sd_mod', 'sr_mod', 'isofs', 'vfat', 'nls_cp437', 'nls_ascii'] as const

/**
 * The first process of `rdinit=/auto`: reads a disk with ext4 and a CD, writes to the disk, and powers off. Its input is
 * nothing, so that runs on deterministic time agree.
 */
const AUTO = `${FIRST_PROCESS}/drivers
mount /dev/sda /mnt
mount -o ro /dev/sr0 /cd
cat /mnt/note.txt /cd/note.txt
sha256sum /mnt/data /cd/data
dd if=/cd/data of=/mnt/copy bs=64k conv=fsync 2>/dev/null
sha256sum /mnt/copy
umount /mnt
echo DONE
poweroff -f
`

/** Debian's kernel, and an initial RAM disk whose `/drivers` loads what is needed for IDE drives. */
export interface DiskLinux {
  readonly kernelPath: string
  readonly initrd: Uint8Array
}

/** The cloud kernel has no driver of AHCI. Of the other one, which is large, only drivers of disks and file systems are kept. */
export const SATA_DRIVERS = ['ahci', 'sd_mod', 'sr_mod', 'isofs', 'crc32c_generic', 'ext4'] as const
export const CLOUD = {
  package: 'linux-image-cloud-amd64',
  members: ['./boot/*', './lib/modules/*'],
  dependency: 'linux-image-',
}
/** Debian's full kernel, of which only some of its modules are kept. @param paths - of these */
export const debianKernel = (paths: readonly string[], packageName = 'linux-image-amd64'): DebianMembers => ({
  package: packageName,
  members: ['./boot/vmlinuz-*', ...paths.map((path) => `./lib/modules/*/kernel/${path}`)],
  dependency: 'linux-image-',
})
const ATA = ['block/*', 'drivers/ata/*', 'drivers/scsi/*', 'drivers/cdrom/*']
const DISKS = [...ATA, 'fs/ext4/*', 'fs/jbd2/*', 'fs/isofs/*', 'fs/mbcache.ko', 'crypto/*', 'lib/*']
/** Debian's full kernel with drivers of disks and file systems. */
export const FULL_KERNEL = debianKernel(DISKS)

const E1000 = 'drivers/net/ethernet/intel/e1000/*'
/** Debian's full kernel with drivers of network cards, floppies and sound. */
export const ADAPTERS = debianKernel([E1000, 'net/packet/*', 'drivers/block/floppy.ko', 'sound/*'])

const OF_PORTS = [E1000, 'drivers/nvme/*', 'drivers/virtio/*', 'drivers/char/*', 'drivers/usb/*']
/** Debian's full kernel with drivers of one device of each kind that may be behind a root port. */
export const BEHIND_PORTS = debianKernel([...DISKS, ...OF_PORTS])

/** USB's drivers: a controller's, and those of keyboards, pointers and sticks. */
const USB_DRIVERS =
  'xhci_pci usbhid hid_generic evdev usb_storage sd_mod crc32c_generic ext4 vfat nls_cp437 nls_ascii'.split(' ')
const USB_PATHS = ['drivers/usb/*', 'drivers/hid/*', 'drivers/input/*', 'fs/fat/*', 'fs/nls/*']
const WITH_USB = debianKernel([...DISKS, ...USB_PATHS])

/** Debian's full kernel with the driver of the PC speaker. @returns undefined where there is no apt */
export function speakerLinux(auto: string): Promise<DiskLinux | undefined> {
  return linuxWith(['pcspkr', 'evdev'], auto, WITH_USB)
}

/** Debian's full kernel with drivers of USB. @returns undefined where there is no apt */
export function usbLinux(auto = ''): Promise<DiskLinux | undefined> {
  return linuxWith(USB_DRIVERS, auto, WITH_USB)
}

/** Debian's full kernel with the drivers of a `q35`. @returns undefined where there is no apt */
export function sataLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(SATA_DRIVERS, AUTO, FULL_KERNEL)
}

/** The cloud kernel has no 9P. */
const WITH_9P = debianKernel(['drivers/virtio/*', 'net/9p/*', 'fs/9p/*', 'fs/netfs/*', 'fs/fscache/*'])

/** Debian's full kernel with 9P. @returns undefined where there is no apt */
export function shareLinux(auto: string): Promise<DiskLinux | undefined> {
  return linuxWith(['virtio_pci', '9pnet_virtio', '9p'], auto, WITH_9P)
}

/** Debian's kernel for arm64, which has drivers of PCI disks and network cards as modules. */
const ARM_KERNEL = debianKernel(
  [
    ...['drivers/ata/*', 'drivers/scsi/*', 'drivers/nvme/*', 'drivers/virtio/*', 'drivers/block/*', 'drivers/usb/*'],
    ...[E1000, 'crypto/*', 'lib/*', 'block/*', 'arch/*', 'drivers/char/virtio_console.ko'],
  ],
  'linux-image-arm64:arm64',
)

/** Debian's kernel for arm64, with drivers and a first process of the caller's. @returns undefined where there is no apt */
export function armLinux(drivers: readonly string[], auto: string): Promise<DiskLinux | undefined> {
  return linuxWith(drivers, auto, ARM_KERNEL, 'busybox-static:arm64')
}

/** @returns undefined where there is no apt to fetch Debian's packages with */
export function diskLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(DRIVERS, AUTO)
}

/** Debian's full kernel, whose first process is the agent, on the second serial port. */
export async function agentLinux(): Promise<DiskLinux> {
  const linux = await linuxWith([], `${FIRST_PROCESS}${WRITE_AGENT}sh /agent /dev/ttyS1\n`, FULL_KERNEL)
  if (linux === undefined) throw new Error('there is no apt')
  return linux
}

/**
 * Debian's kernel, and an initial RAM disk with drivers and a first process of the caller's.
 *
 * @param drivers - modules that `/drivers` loads, behind those that they need
 * @param auto - the program of `rdinit=/auto`
 * @param kernelPackage - default the kernel for clouds
 * @param shell - the package of busybox; default that for amd64
 * @returns undefined where there is no apt to fetch Debian's packages with
 */
export async function linuxWith(
  drivers: readonly string[],
  auto: string,
  kernelPackage: DebianMembers = CLOUD,
  shell = 'busybox-static',
): Promise<DiskLinux | undefined> {
  const folders = await debianMembers([kernelPackage, { package: shell, members: ['./bin/busybox'] }])
  if (folders === undefined) return undefined
  const [kernel = '', busybox = ''] = folders
  const files = moduleFiles(kernel)
  const order: string[] = []
  for (const name of drivers) addModule(name, files, order)
  const script = `#!/bin/sh\nfor m in ${order.join(' ')}; do insmod /modules/$m.ko || echo "no $m"; done\n`
  const extra = writeCpio([
    { kind: 'directory', path: 'modules' },
    { kind: 'directory', path: 'mnt' },
    { kind: 'directory', path: 'cd' },
    { kind: 'file', path: 'auto', mode: 0o755, data: new TextEncoder().encode(auto) },
    ...order.map((name) => ({
      kind: 'file' as const,
      path: `modules/${name}.ko`,
      data: new Uint8Array(readFileSync(files.get(name) ?? '')),
    })),
    { kind: 'file', path: 'drivers', mode: 0o755, data: new TextEncoder().encode(script) },
  ])
  const base = buildInitramfs(new Uint8Array(readFileSync(join(busybox, 'bin/busybox'))))
  const initrd = new Uint8Array(base.length + extra.length)
  initrd.set(base)
  initrd.set(extra, base.length)
  return { kernelPath: globSync(join(kernel, 'boot/vmlinuz-*'))[0] ?? '', initrd }
}
