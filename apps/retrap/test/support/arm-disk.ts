import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { makeExt4, makeIso } from './boot-media.ts'
import type { DiskLinux } from './disk-linux.ts'
import { GPT_TAIL_BYTES, writeGpt } from './gpt.ts'

const MIB = 1 << 20
const SECTOR = 512
const ESP_AT = MIB
const ESP_BYTES = 48 * MIB
/** Where the file system of the root is on the disk. */
export const ARM_ROOT_AT: number = ESP_AT + ESP_BYTES

const GRUB_MODULES = [
  ...['part_gpt', 'fat', 'ext2', 'iso9660', 'normal', 'linux', 'configfile', 'echo', 'search', 'search_fs_file'],
  ...['all_video', 'reboot', 'halt', 'sleep'],
]

/** The firmware for arm64 machines: an image, and flash memories of the right size with it and with no variables. */
export interface ArmFirmware {
  readonly code: string
  readonly variables: string
}

/** @returns undefined where there is no apt to fetch it with */
export async function armFirmware(): Promise<ArmFirmware | undefined> {
  const members = ['./usr/share/AAVMF/AAVMF_CODE.fd', './usr/share/AAVMF/AAVMF_VARS.fd']
  const [folder] = (await debianMembers([{ package: 'qemu-efi-aarch64', members }])) ?? []
  if (folder === undefined) return undefined
  return { code: join(folder, members[0]!), variables: join(folder, members[1]!) }
}

/** GRUB for arm64 as the program that firmware starts from a medium; it reads `/grub.cfg` there. */
async function makeArmGrub(path: string): Promise<boolean> {
  const members = ['./usr/lib/grub/arm64-efi/*']
  const [grub] = (await debianMembers([{ package: 'grub-efi-arm64-bin:arm64', members }])) ?? []
  if (grub === undefined) return false
  const modules = join(grub, 'usr/lib/grub/arm64-efi')
  execFileSync('grub-mkimage', ['-O', 'arm64-efi', '-d', modules, '-p', '/', '-o', path, ...GRUB_MODULES])
  return true
}

/** What is on a disk for an arm64 machine. */
export interface ArmDiskParts {
  /** The root, without the kernel. */
  readonly root: string
  readonly linux: DiskLinux
  readonly commandLine: string
  /** Bytes of the root's file system. */
  readonly bytes: number
  /** Seconds for which GRUB shows its menu; default 0. */
  readonly timeout?: number
}

/**
 * A disk with a GUID partition table: an EFI system partition with GRUB as the program for removable media, and a root of
 * type ext4 whose kernel and initial RAM disk GRUB starts.
 *
 * @returns the image's path; undefined where there is no apt to fetch GRUB with
 */
export async function makeArmDisk(scratch: string, parts: ArmDiskParts): Promise<string | undefined> {
  const { root, linux, commandLine, bytes, timeout = 0 } = parts
  const loader = join(scratch, 'bootaa64.efi')
  if (!(await makeArmGrub(loader))) return undefined
  mkdirSync(join(root, 'boot'), { recursive: true })
  copyFileSync(linux.kernelPath, join(root, 'boot/vmlinuz'))
  writeFileSync(join(root, 'boot/initrd'), linux.initrd)
  writeFileSync(
    join(scratch, 'grub.cfg'),
    `search --file --set=root /boot/vmlinuz
set timeout=${timeout}
menuentry 'Debian GNU/Linux' {
  echo 'GRUB starts Linux'
  linux /boot/vmlinuz ${commandLine}
  initrd /boot/initrd
}
menuentry 'Start again' { reboot }
menuentry 'Power off' { halt }
`,
  )
  const disk = join(scratch, 'arm.img')
  makeExt4(disk, bytes, root, ARM_ROOT_AT)
  const end = ARM_ROOT_AT + bytes
  const total = Math.ceil((end + GPT_TAIL_BYTES) / MIB) * MIB
  truncateSync(disk, total)
  makeEsp(`${disk}@@${ESP_AT}`, ESP_BYTES, loader, join(scratch, 'grub.cfg'))
  writeGpt(disk, total, [
    { type: 'efi', at: ESP_AT, bytes: ESP_BYTES },
    { type: 'linux', at: ARM_ROOT_AT, bytes },
  ])
  return disk
}

/** A file system of the EFI system partition, with GRUB as the program for removable media. @param place - as mtools take it */
function makeEsp(place: string, bytes: number, loader: string, configuration: string): void {
  const at = ['-i', place]
  execFileSync('mformat', [...at, '-T', `${bytes / SECTOR}`, '-h', '64', '-s', '32', '-F', '::'])
  execFileSync('mmd', [...at, '::/EFI', '::/EFI/BOOT'])
  execFileSync('mcopy', [...at, loader, '::/EFI/BOOT/BOOTAA64.EFI'])
  execFileSync('mcopy', [...at, configuration, '::/grub.cfg'])
}

/**
 * A disc of Debian's installer, whose EFI boot image has GRUB.
 *
 * @returns the image's path; undefined where there is no apt to fetch it with
 */
export async function makeArmInstallerDisc(scratch: string): Promise<string | undefined> {
  const files = 'usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64'
  const wanted = { package: 'debian-installer-12-netboot-arm64', members: [`./${files}/linux`, `./${files}/initrd.gz`] }
  const [installer] = (await debianMembers([wanted])) ?? []
  const loader = join(scratch, 'bootaa64.efi')
  if (installer === undefined || !(await makeArmGrub(loader))) return undefined
  const root = join(scratch, 'disc')
  mkdirSync(root)
  for (const name of ['linux', 'initrd.gz']) cpSync(join(installer, files, name), join(root, name))
  const configuration = join(scratch, 'grub.cfg')
  writeFileSync(configuration, 'search --file --set=root /initrd.gz\nlinux /linux\ninitrd /initrd.gz\nboot\n')
  // GRUB looks on the disc that firmware has found it on.
  cpSync(configuration, join(root, 'grub.cfg'))
  const image = join(root, 'efi.img')
  writeFileSync(image, '')
  truncateSync(image, ESP_BYTES)
  makeEsp(image, ESP_BYTES, loader, configuration)
  const path = join(scratch, 'installer.iso')
  makeIso(path, root, ['-e', 'efi.img', '-no-emul-boot'])
  return path
}
