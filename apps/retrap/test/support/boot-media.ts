import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import type { DiskLinux } from './disk-linux.ts'
import { TO_DEVICES } from './first-process.ts'
import { sha256 } from './sha256.ts'

const SECTOR = 512
/** Where partitions begin since disks have sectors of 4 KiB; the boot loader lies before them. */
const PARTITION_AT = 1 << 20
/** Bytes of the boot sector that are code. The partition table follows. */
const BOOT_CODE_BYTES = 440
const COMMON_MODULES = ['part_msdos', 'normal', 'linux', 'configfile', 'serial', 'terminal', 'echo', 'read']
const GRUB_MODULES = ['biosdisk', 'ext2', ...COMMON_MODULES]
const LINUX_PARTITION = 0x83
const EFI_PARTITION = 0xef
const EFI_GRUB_MODULES = ['fat', ...COMMON_MODULES]

/** What the kernel is started with by each loader. */
const COMMAND_LINE = TO_DEVICES

/** Commands of GRUB that read a line from the keyboard and tell it. */
export const GRUB_READS_LINE = `terminal_input console
echo 'TYPE A LINE'
read line
echo "typed: $line"
`

/** A file system of type ext4 that holds a folder, made without privileges. */
export function makeExt4(path: string, bytes: number, folder: string, offset = 0): void {
  fs.writeFileSync(path, '')
  fs.truncateSync(path, offset + bytes)
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', folder, '-E', `offset=${offset}`, path, `${bytes >> 10}k`])
}

/** The SHA-256 of a file of an ext4 image, whose file system must be in order. */
export function sumOf(image: string, file: string): string {
  execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' })
  const out = join(fs.mkdtempSync(join(tmpdir(), 'retrap-read-back-')), 'file')
  execFileSync('debugfs', ['-R', `dump ${file} ${out}`, image], { stdio: 'pipe' })
  const sum = sha256(fs.readFileSync(out))
  fs.rmSync(dirname(out), { recursive: true })
  return sum
}

/** A CD image of a folder. */
export function makeIso(path: string, folder: string, options: readonly string[] = []): void {
  execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', '-R', '-J', '-o', path, ...options, folder], { stdio: 'pipe' })
}

/** Debian's kernel and an initial RAM disk in a folder. */
function putLinux(folder: string, { kernelPath, initrd }: DiskLinux): void {
  fs.mkdirSync(folder, { recursive: true })
  fs.copyFileSync(kernelPath, join(folder, 'vmlinuz'))
  fs.writeFileSync(join(folder, 'initrd'), initrd)
}

/** A hypervisor that GRUB starts below Linux. */
export interface XenFiles {
  readonly path: string
  readonly commandLine: string
}

const startLinux = (commandLine: string): string =>
  `echo 'GRUB starts Linux'\nlinux /boot/vmlinuz ${commandLine}\ninitrd /boot/initrd`

/** A first word that each of them takes for its name. */
const startXen = (commandLine: string, ofXen: string): string =>
  `echo 'GRUB starts Xen'\nmultiboot2 /boot/xen.gz xen ${ofXen}\nmodule2 /boot/vmlinuz linux ${commandLine}\nmodule2 /boot/initrd`

/**
 * A disk with one partition, from which GRUB starts Linux.
 *
 * @param scratch - an empty folder
 * @param xen - what is started instead, with Linux as its first domain
 * @param before - commands of GRUB before it does so
 * @returns the image's path; undefined where there is no apt to fetch GRUB with
 */
export async function makeGrubDisk(
  scratch: string,
  linux: DiskLinux,
  commandLine: string = COMMAND_LINE,
  xen?: XenFiles,
  before = '',
): Promise<string | undefined> {
  const [grub] = (await debianMembers([{ package: 'grub-pc-bin', members: ['./usr/lib/grub/i386-pc/*'] }])) ?? []
  if (grub === undefined) return undefined
  const modules = join(grub, 'usr/lib/grub/i386-pc')
  const root = join(scratch, 'root')
  putLinux(join(root, 'boot'), linux)
  fs.mkdirSync(join(root, 'boot/grub'))
  fs.writeFileSync(
    join(root, 'boot/grub/grub.cfg'),
    `serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
${before}${xen === undefined ? startLinux(commandLine) : startXen(commandLine, xen.commandLine)}
boot
`,
  )
  if (xen !== undefined) fs.copyFileSync(xen.path, join(root, 'boot/xen.gz'))
  fs.writeFileSync(join(root, 'note.txt'), 'written by the host\n')
  const disk = join(scratch, 'grub.img')
  const bytes = 64 << 20
  makeExt4(disk, bytes, root, PARTITION_AT)
  const core = join(scratch, 'core.img')
  const prefix = '(hd0,msdos1)/boot/grub'
  const more = xen === undefined ? [] : ['multiboot2', 'gzio']
  execFileSync('grub-mkimage', ['-O', 'i386-pc', '-d', modules, '-p', prefix, '-o', core, ...GRUB_MODULES, ...more])
  const boot = fs.readFileSync(join(modules, 'boot.img'))
  const file = fs.openSync(disk, 'r+')
  const sector = Buffer.concat([boot.subarray(0, BOOT_CODE_BYTES), partitionTable(LINUX_PARTITION, bytes)])
  fs.writeSync(file, sector, 0, SECTOR, 0)
  fs.writeSync(file, fs.readFileSync(core), 0, undefined, SECTOR)
  fs.closeSync(file)
  return disk
}

/** The partition table of a disk with one partition; addresses by cylinder are not used. */
function partitionTable(type: number, bytes: number): Buffer {
  const table = Buffer.alloc(SECTOR - BOOT_CODE_BYTES)
  // The first entry: active, its type, first sector and number of sectors.
  table[6] = 0x80
  table[10] = type
  table.writeUInt32LE(PARTITION_AT / SECTOR, 14)
  table.writeUInt32LE(bytes / SECTOR, 18)
  table.writeUInt16LE(0xaa55, table.length - 2)
  return table
}

/**
 * A disk with an EFI system partition, from which GRUB starts Linux.
 *
 * @param scratch - an empty folder
 * @param before - commands of GRUB before it does so
 * @returns the image's path; undefined where there is no apt to fetch GRUB with
 */
export async function makeGrubEfiDisk(
  scratch: string,
  linux: DiskLinux,
  commandLine: string = COMMAND_LINE,
  before = '',
): Promise<string | undefined> {
  const members = ['./usr/lib/grub/x86_64-efi/*']
  const [grub] = (await debianMembers([{ package: 'grub-efi-amd64-bin', members }])) ?? []
  if (grub === undefined) return undefined
  const root = join(scratch, 'esp')
  putLinux(root, linux)
  fs.writeFileSync(
    join(root, 'grub.cfg'),
    `serial --unit=0 --speed=115200
terminal_output serial
${before}echo 'GRUB starts Linux'
linux /vmlinuz ${commandLine}
initrd /initrd
boot
`,
  )
  const loader = join(root, 'bootx64.efi')
  const modules = join(grub, 'usr/lib/grub/x86_64-efi')
  execFileSync('grub-mkimage', ['-O', 'x86_64-efi', '-d', modules, '-p', '/', '-o', loader, ...EFI_GRUB_MODULES])
  const disk = join(scratch, 'efi.img')
  const bytes = 64 << 20
  fs.writeFileSync(disk, '')
  fs.truncateSync(disk, PARTITION_AT + bytes)
  const at = ['-i', `${disk}@@${PARTITION_AT}`]
  execFileSync('mformat', [...at, '-T', `${bytes / SECTOR}`, '-h', '64', '-s', '32', '-F', '::'])
  execFileSync('mmd', [...at, '::/EFI', '::/EFI/BOOT'])
  execFileSync('mcopy', [...at, loader, '::/EFI/BOOT/BOOTX64.EFI'])
  execFileSync('mcopy', [...at, ...['vmlinuz', 'initrd', 'grub.cfg'].map((name) => join(root, name)), '::/'])
  const file = fs.openSync(disk, 'r+')
  fs.writeSync(file, partitionTable(EFI_PARTITION, bytes), 0, undefined, BOOT_CODE_BYTES)
  fs.closeSync(file)
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
  fs.mkdirSync(join(root, 'isolinux'))
  fs.cpSync(join(isolinux, 'usr/lib/ISOLINUX/isolinux.bin'), join(root, 'isolinux/isolinux.bin'))
  fs.cpSync(join(common, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(root, 'isolinux/ldlinux.c32'))
  fs.writeFileSync(
    join(root, 'isolinux/isolinux.cfg'),
    `SERIAL 0 115200\nDEFAULT linux\nLABEL linux\n  KERNEL /vmlinuz\n  INITRD /initrd\n  APPEND ${COMMAND_LINE}\n`,
  )
  fs.writeFileSync(join(root, 'note.txt'), 'on the disc\n')
  const path = join(scratch, 'isolinux.iso')
  const eltorito = ['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat', '-no-emul-boot', '-boot-load-size', '4']
  makeIso(path, root, [...eltorito, '-boot-info-table'])
  return path
}
