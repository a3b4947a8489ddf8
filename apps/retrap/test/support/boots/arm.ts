// Debian for arm64, started by UEFI firmware and GRUB from a disk of each kind, and its installer from a CD.
import { constants, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ARM_ROOT_AT, armFirmware, makeArmDisk, makeArmInstallerDisc } from '../arm-disk.ts'
import { makeDebianRoot, rootLinux } from '../debian-root.ts'
import { runRetrap } from '../processes.ts'
import { readPng } from '../screens.ts'
import { bootDebian, type BootRow, DEADLINE_MS } from './row.ts'

const ROOT_BYTES = 512 << 20
const NO_APT = 'there is no apt to fetch Debian with'

/** How the disk is reached. */
const BUSES = {
  virtio: ['--drive', 'file=DISK,if=virtio'],
  nvme: ['--drive', 'file=DISK,if=none,id=d', '--device', 'nvme,drive=d'],
  scsi: ['--drive', 'file=DISK,if=scsi'],
  usb: ['--device', 'qemu-xhci', '--drive', 'file=DISK,if=none,id=d', '--device', 'usb-storage,drive=d'],
} as const

let disk: Promise<string | undefined> | undefined

async function makeDisk(shared: string): Promise<string | undefined> {
  const folder = join(shared, 'arm')
  const root = join(folder, 'root')
  mkdirSync(root, { recursive: true })
  const linux = await rootLinux('arm64')
  if (linux === undefined || !(await makeDebianRoot(root, [], 'arm64'))) return undefined
  return makeArmDisk(folder, { root, linux, commandLine: 'console=ttyAMA0 quiet rdinit=/auto', bytes: ROOT_BYTES })
}

/** Firmware with a copy of its variables. */
async function firmwareIn(scratch: string): Promise<readonly string[] | undefined> {
  const firmware = await armFirmware()
  if (firmware === undefined) return undefined
  const variables = join(scratch, 'vars.fd')
  copyFileSync(firmware.variables, variables, constants.COPYFILE_FICLONE)
  return ['--firmware', firmware.code, '--firmware-vars', variables]
}

const DISK_ROWS = Object.entries(BUSES).map(([bus, drive]): BootRow => ({
  name: `Debian for arm64: UEFI, ${bus}`,
  async run(scratch, shared) {
    const original = await (disk ??= makeDisk(shared))
    const firmware = await firmwareIn(scratch)
    if (original === undefined || firmware === undefined) return NO_APT
    const copy = join(scratch, 'disk.img')
    copyFileSync(original, copy, constants.COPYFILE_FICLONE)
    const drives = drive.map((text) => text.replace('DISK', copy))
    // Time passes with instructions: on a busy host the units of systemd would wait in vain for devices.
    // Linux has no other random numbers then than those of a device.
    const options = ['--arch', 'arm64', '--deterministic', '--device', 'virtio-rng-pci', ...firmware, ...drives]
    return bootDebian(options, { root: `${copy}?offset=${ARM_ROOT_AT}`, scratch, name: 'aarch64' })
  },
}))

const INSTALLER: BootRow = {
  name: 'Debian installer for arm64: UEFI, CD, choice of a language',
  async run(scratch) {
    const [disc, firmware] = [await makeArmInstallerDisc(scratch), await firmwareIn(scratch)]
    if (disc === undefined || firmware === undefined) return NO_APT
    const screen = join(scratch, 'screen.png')
    const { stdout } = await runRetrap(
      ['run', '--arch', 'arm64', '--memory', '1G', ...firmware, '--cdrom', disc, '--screenshot-on-exit', screen],
      { answers: [{ to: 'Select a language', type: '\u0001x' }], deadlineMs: DEADLINE_MS },
    )
    if (!stdout.includes('Select a language')) return `there is no choice of a language:\n${stdout.slice(-3000)}`
    if (!existsSync(screen)) return 'there is no picture'
    const { width, height } = readPng(readFileSync(screen))
    if (width < 640 || height < 400) return `the picture has ${width} by ${height} pixels`
  },
}

export const ARM_ROWS: readonly BootRow[] = [...DISK_ROWS, INSTALLER]
