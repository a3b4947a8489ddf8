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
type Processors = 'threads' | 'turns'
interface Row {
  /** Of `--machine`. */
  readonly machine: string
  readonly firmware: Firmware
  readonly bus: Bus
  readonly smp?: Processors
}
const rows = (machine: string, firmware: Firmware, ...buses: readonly Bus[]): readonly Row[] =>
  buses.map((bus) => ({ machine, firmware, bus }))
/** With system-management mode, which vCPUs enter together, and in turns without. */
const together: readonly Row[] = (['threads', 'turns'] as const).flatMap((smp) =>
  [
    ...['pc,smm=on', 'q35,smm=on', 'pc,smm=off', 'q35,smm=off'].flatMap((machine) =>
      rows(machine, 'SeaBIOS', 'built-in'),
    ),
    ...rows('q35,smm=on', 'OVMF', 'built-in'),
  ].map((row) => ({ ...row, smp })),
)
const ROWS = [
  ...rows('pc', 'SeaBIOS', 'built-in', 'virtio', 'scsi', 'nvme', 'usb'),
  ...rows('pc', 'OVMF', 'built-in'),
  ...rows('q35', 'SeaBIOS', 'built-in'),
  ...rows('q35', 'OVMF', 'built-in', 'virtio', 'scsi', 'nvme'),
  ...together,
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
  /** The firmware that is to be in system-management mode to write its variables. */
  readonly secureCode: string
  readonly variables: string
  readonly loaders: Readonly<Record<Firmware, string>>
}

let media: Promise<Media> | undefined

async function makeMedia(shared: string): Promise<Media> {
  const linux = await rootLinux()
  const folder = join(shared, 'root')
  mkdirSync(folder)
  const [ovmf] =
    (await debianMembers([
      { package: 'ovmf', members: ['./usr/share/OVMF/OVMF_*_4M.fd', './usr/share/OVMF/OVMF_CODE_4M.secboot.fd'] },
    ])) ?? []
  if (linux === undefined || ovmf === undefined || !(await makeDebianRoot(folder)))
    throw new Error('there is no apt to fetch Debian with')
  const root = join(shared, 'root.img')
  makeExt4(root, ROOT_BYTES, folder)
  const bios = await makeGrubDisk(mkdtempSync(join(shared, 'bios-')), linux, ROOT_COMMAND_LINE)
  const efi = await makeGrubEfiDisk(mkdtempSync(join(shared, 'efi-')), linux, ROOT_COMMAND_LINE)
  return {
    root,
    code: join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd'),
    secureCode: join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.secboot.fd'),
    variables: join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd'),
    loaders: { SeaBIOS: bios ?? '', OVMF: efi ?? '' },
  }
}

/** The firmware, and a flash for its variables; with system-management mode only that writes the flash. */
function flash(managed: boolean, { code, secureCode }: Media, vars: string): readonly string[] {
  if (!managed) return ['--firmware', code, '--firmware-vars', vars]
  return ['--drive', `if=pflash,readonly=on,file=${secureCode}`, '--drive', `if=pflash,unit=1,secure=on,file=${vars}`]
}

export const DISK_ROWS: readonly BootRow[] = ROWS.map(({ machine, firmware, bus, smp }, index) => {
  const cpus = smp === undefined ? 1 + (index % 4) : 4
  return {
    name: `Debian: ${machine}, ${firmware}, ${bus}, ${cpus} vCPUs${smp === undefined ? '' : ` in ${smp}`}`,
    async run(scratch, shared) {
      const made = await (media ??= makeMedia(shared))
      const [disk, vars] = [join(scratch, 'disk.img'), join(scratch, 'vars.fd')]
      copyFileSync(made.root, disk, constants.COPYFILE_FICLONE)
      copyFileSync(made.variables, vars)
      const firmwares = firmware === 'OVMF' ? flash(machine.endsWith('smm=on'), made, vars) : []
      const processors = ['--cpus', `${cpus}`, ...(smp === undefined ? [] : ['--smp', smp])]
      const disks = drives(bus, [made.loaders[firmware], disk])
      const options = ['--machine', machine, ...processors, ...firmwares, ...disks]
      return bootDebian(options, { root: disk, scratch, name: 'Linux' })
    },
  }
})
