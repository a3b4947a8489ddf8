// A Debian 12 with GRUB, systemd and a root of type ext4 boots from each firmware and by each kind of disk.
import { constants, copyFileSync, mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { makeExt4, makeGrubDisk, makeGrubEfiDisk } from '../boot-media.ts'
import { makeDebianRoot, ROOT_COMMAND_LINE, rootLinux } from '../debian-root.ts'
import { bootDebian, type BootRow } from './row.ts'

const ROOT_BYTES = 512 << 20

type Bus = 'built-in' | 'virtio' | 'scsi' | 'nvme' | 'usb'
type Firmware = 'SeaBIOS' | 'OVMF'
const rows = (machine: 'pc' | 'q35', firmware: Firmware, ...buses: readonly Bus[]) =>
  buses.map((bus) => ({ machine, firmware, bus }))
const ROWS = [
  ...rows('pc', 'SeaBIOS', 'built-in', 'virtio', 'scsi', 'nvme', 'usb'),
  ...rows('pc', 'OVMF', 'built-in'),
  ...rows('q35', 'SeaBIOS', 'built-in'),
  ...rows('q35', 'OVMF', 'built-in', 'virtio', 'scsi', 'nvme'),
]

/** Options that give a machine two disks. */
function drives(bus: Bus, disks: readonly string[]): readonly string[] {
  if (bus === 'built-in') return disks.flatMap((file, i) => [i === 0 ? '--hda' : '--hdb', file])
  if (bus === 'virtio' || bus === 'scsi') return disks.flatMap((file) => ['--drive', `file=${file},if=${bus}`])
  const device = bus === 'usb' ? 'usb-storage' : bus
  const each = disks.flatMap((file, i) => [
    '--drive',
    `file=${file},if=none,id=d${i}`,
    '--device',
    `${device},drive=d${i}`,
  ])
  return bus === 'usb' ? ['--device', 'qemu-xhci', ...each] : each
}

/** What the rows have in common. */
interface Media {
  readonly root: string
  readonly code: string
  readonly variables: string
  readonly loaders: Readonly<Record<Firmware, string>>
}

let media: Promise<Media> | undefined

async function makeMedia(shared: string): Promise<Media> {
  const linux = await rootLinux()
  const folder = join(shared, 'root')
  mkdirSync(folder)
  const [ovmf] = (await debianMembers([{ package: 'ovmf', members: ['./usr/share/OVMF/OVMF_*_4M.fd'] }])) ?? []
  if (linux === undefined || ovmf === undefined || !(await makeDebianRoot(folder)))
    throw new Error('there is no apt to fetch Debian with')
  const root = join(shared, 'root.img')
  makeExt4(root, ROOT_BYTES, folder)
  const bios = await makeGrubDisk(mkdtempSync(join(shared, 'bios-')), linux, ROOT_COMMAND_LINE)
  const efi = await makeGrubEfiDisk(mkdtempSync(join(shared, 'efi-')), linux, ROOT_COMMAND_LINE)
  return {
    root,
    code: join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd'),
    variables: join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd'),
    loaders: { SeaBIOS: bios ?? '', OVMF: efi ?? '' },
  }
}

export const DISK_ROWS: readonly BootRow[] = ROWS.map(({ machine, firmware, bus }, index) => ({
  name: `Debian: ${machine}, ${firmware}, ${bus}, ${1 + (index % 4)} vCPUs`,
  async run(scratch, shared) {
    const { root, code, variables, loaders } = await (media ??= makeMedia(shared))
    const [disk, vars] = [join(scratch, 'disk.img'), join(scratch, 'vars.fd')]
    copyFileSync(root, disk, constants.COPYFILE_FICLONE)
    copyFileSync(variables, vars)
    const flash = firmware === 'OVMF' ? ['--firmware', code, '--firmware-vars', vars] : []
    const disks = drives(bus, [loaders[firmware], disk])
    const options = ['--machine', machine, '--cpus', `${1 + (index % 4)}`, ...flash, ...disks]
    return bootDebian(options, { root: disk, scratch, name: 'Linux' })
  },
}))
