// A Debian 12 with GRUB, systemd and a root of type ext4 boots from each firmware and by each kind of disk. A user logs
// in, writes a file, and presses the power button; the file system must be in order, and the file be there.
import { execFileSync } from 'node:child_process'
import { constants, copyFileSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { makeExt4, makeGrubDisk, makeGrubEfiDisk } from '../boot-media.ts'
import { makeDebianRoot, ROOT_COMMAND_LINE, rootLinux } from '../debian-root.ts'
import { runRetrap } from '../processes.ts'
import { type BootRow, DEADLINE_MS } from './row.ts'

const ROOT_BYTES = 512 << 20
/** Ctrl-A p. */
const POWER_BUTTON = '\u0001p'

type Bus = 'built-in' | 'virtio' | 'scsi' | 'nvme' | 'usb'
const ROWS: readonly { readonly machine: 'pc' | 'q35'; readonly firmware: 'SeaBIOS' | 'OVMF'; readonly bus: Bus }[] = [
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'built-in' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'virtio' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'scsi' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'nvme' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'usb' },
  { machine: 'pc', firmware: 'OVMF', bus: 'built-in' },
  { machine: 'q35', firmware: 'SeaBIOS', bus: 'built-in' },
  { machine: 'q35', firmware: 'OVMF', bus: 'built-in' },
  { machine: 'q35', firmware: 'OVMF', bus: 'virtio' },
  { machine: 'q35', firmware: 'OVMF', bus: 'scsi' },
  { machine: 'q35', firmware: 'OVMF', bus: 'nvme' },
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
  readonly loaders: Readonly<Record<'SeaBIOS' | 'OVMF', string>>
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

/** One to four, in threads. */
const cpusOf = (row: number): string => String(1 + (row % 4))

export const DISK_ROWS: readonly BootRow[] = ROWS.map(({ machine, firmware, bus }, index) => ({
  name: `Debian: ${machine}, ${firmware}, ${bus}, ${cpusOf(index)} vCPUs`,
  async run(scratch, shared) {
    const { root, code, variables, loaders } = await (media ??= makeMedia(shared))
    const [disk, vars] = [join(scratch, 'disk.img'), join(scratch, 'vars.fd')]
    copyFileSync(root, disk, constants.COPYFILE_FICLONE)
    copyFileSync(variables, vars)
    const flash = firmware === 'OVMF' ? ['--firmware', code, '--firmware-vars', vars] : []
    const options = ['--machine', machine, '--memory', '1G', '--cpus', cpusOf(index), ...flash]
    const { code: ended, stdout } = await runRetrap(['run', ...options, ...drives(bus, [loaders[firmware], disk])], {
      answers: [
        { to: 'login: ', type: 'root\n' },
        { to: 'Password: ', type: 'retrap\n' },
        {
          to: '# ',
          type: 'echo $(uname -s) $((6 * 7)) > /root/written; systemctl is-system-running --wait; echo state-$((6 * 7))\n',
        },
        { to: 'state-42', type: 'systemctl --failed --no-pager; echo button-$((6 * 7))\n' },
        { to: 'button-42', type: POWER_BUTTON },
      ],
      deadlineMs: DEADLINE_MS,
    })
    if (ended !== 0) return `it ended with ${ended}:\n${stdout.slice(-3000)}`
    if (!stdout.includes('GRUB starts Linux')) return `GRUB said nothing:\n${stdout.slice(0, 2000)}`
    execFileSync('e2fsck', ['-fn', disk], { stdio: 'pipe' })
    const out = join(scratch, 'written')
    execFileSync('debugfs', ['-R', `dump /root/written ${out}`, disk], { stdio: 'pipe' })
    const written = readFileSync(out, 'utf8')
    if (written !== 'Linux 42\n') return `the file holds '${written}'`
  },
}))
