import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import type { DiskLinux } from './disk-linux.ts'

const SECTOR = 512
/** Where partitions begin since disks have sectors of 4 KiB; the boot loader lies before them. */
const PARTITION_AT = 1 << 20
/** Bytes of the boot sector that are code. The partition table follows. */
const BOOT_CODE_BYTES = 440
const GRUB_MODULES = ['biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'configfile', 'serial', 'terminal', 'echo']
const LINUX_PARTITION = 0x83

/** What the kernel is started with by each loader. */
const COMMAND_LINE = 'console=ttyS0 quiet'

/** A file system of type ext4 that holds a folder, made without privileges. */
export function makeExt4(path: string, bytes: number, folder: string, offset = 0): void {
  writeFileSync(path, '')
  truncateSync(path, offset + bytes)
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', folder, '-E', `offset=${offset}`, path, `${bytes >> 10}k`])
}

/** A CD image of a folder. */
export function makeIso(path: string, folder: string, options: readonly string[] = []): void {
  execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', '-R', '-J', '-o', path, ...options, folder], { stdio: 'pipe' })
}

/** Debian's kernel and an initial RAM disk in a folder. */
function putLinux(folder: string, { kernelPath, initrd }: DiskLinux): void {
  mkdirSync(folder, { recursive: true })
  copyFileSync(kernelPath, join(folder, 'vmlinuz'))
  writeFileSync(join(folder, 'initrd'), initrd)
}

/**
 * A disk with one partition, from which GRUB starts Linux.
 *
 * @param scratch - an empty folder
 * @returns the image's path; undefined where there is no apt to fetch GRUB with
 */
export async function makeGrubDisk(scratch: string, linux: DiskLinux): Promise<string | undefined> {
  const [grub] = (await debianMembers([{ package: 'grub-pc-bin', members: ['./usr/lib/grub/i386-pc/*'] }])) ?? []
  if (grub === undefined) return undefined
  const modules = join(grub, 'usr/lib/grub/i386-pc')
  const root = join(scratch, 'root')
  putLinux(join(root, 'boot'), linux)
  mkdirSync(join(root, 'boot/grub'))
  writeFileSync(
    join(root, 'boot/grub/grub.cfg'),
    `serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo 'GRUB starts Linux'
linux /boot/vmlinuz ${COMMAND_LINE}
initrd /boot/initrd
boot
`,
  )
  writeFileSync(join(root, 'note.txt'), 'written by the host\n')
  const disk = join(scratch, 'grub.img')
  const bytes = 64 << 20
  makeExt4(disk, bytes, root, PARTITION_AT)
  const core = join(scratch, 'core.img')
  const prefix = '(hd0,msdos1)/boot/grub'
  execFileSync('grub-mkimage', ['-O', 'i386-pc', '-d', modules, '-p', prefix, '-o', core, ...GRUB_MODULES])
  const boot = readFileSync(join(modules, 'boot.img'))
  const table = Buffer.alloc(SECTOR - BOOT_CODE_BYTES)
  // The first entry: active, its type, first sector and number of sectors; addresses by cylinder are not used.
  table[6] = 0x80
  table[10] = LINUX_PARTITION
  table.writeUInt32LE(PARTITION_AT / SECTOR, 14)
  table.writeUInt32LE(bytes / SECTOR, 18)
  table.writeUInt16LE(0xaa55, table.length - 2)
  const file = openSync(disk, 'r+')
  writeSync(file, Buffer.concat([boot.subarray(0, BOOT_CODE_BYTES), table]), 0, SECTOR, 0)
  writeSync(file, readFileSync(core), 0, undefined, SECTOR)
  closeSync(file)
  return disk
}

/**
 * A CD from which ISOLINUX starts Linux.
 *
 * @param scratch - an empty folder
 * @returns the image's path; undefined where there is no apt to fetch ISOLINUX with
 */
export async function makeIsolinuxCd(scratch: string, linux: DiskLinux): Promise<string | undefined> {
  const folders = await debianMembers([
    { package: 'isolinux', members: ['./usr/lib/ISOLINUX/isolinux.bin'] },
    { package: 'syslinux-common', members: ['./usr/lib/syslinux/modules/bios/ldlinux.c32'] },
  ])
  if (folders === undefined) return undefined
  const [isolinux = '', common = ''] = folders
  const root = join(scratch, 'cd')
  putLinux(root, linux)
  mkdirSync(join(root, 'isolinux'))
  cpSync(join(isolinux, 'usr/lib/ISOLINUX/isolinux.bin'), join(root, 'isolinux/isolinux.bin'))
  cpSync(join(common, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(root, 'isolinux/ldlinux.c32'))
  writeFileSync(
    join(root, 'isolinux/isolinux.cfg'),
    `SERIAL 0 115200\nDEFAULT linux\nLABEL linux\n  KERNEL /vmlinuz\n  INITRD /initrd\n  APPEND ${COMMAND_LINE}\n`,
  )
  writeFileSync(join(root, 'note.txt'), 'on the disc\n')
  const path = join(scratch, 'isolinux.iso')
  const eltorito = ['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat', '-no-emul-boot', '-boot-load-size', '4']
  makeIso(path, root, [...eltorito, '-boot-info-table'])
  return path
}
