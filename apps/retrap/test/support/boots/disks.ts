// Boots a Debian 12 with GRUB, systemd and a root of type ext4 from each firmware and by each kind of disk, logs in,
// writes a file, and powers off; the file system must be in order, and the file be there.
import { execFileSync } from 'node:child_process'
import { constants, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { makeExt4, makeGrubDisk, makeGrubEfiDisk } from '../support/boot-media.ts'
import { makeDebianRoot, ROOT_COMMAND_LINE, rootLinux } from '../support/debian-root.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 900_000
const ROOT_BYTES = 512 << 20

type Bus = 'built-in' | 'virtio' | 'nvme'
const ROWS: readonly { readonly machine: 'pc' | 'q35'; readonly firmware: 'SeaBIOS' | 'OVMF'; readonly bus: Bus }[] = [
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'built-in' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'virtio' },
  { machine: 'pc', firmware: 'SeaBIOS', bus: 'nvme' },
  { machine: 'q35', firmware: 'SeaBIOS', bus: 'built-in' },
  { machine: 'q35', firmware: 'OVMF', bus: 'built-in' },
  { machine: 'q35', firmware: 'OVMF', bus: 'virtio' },
  { machine: 'q35', firmware: 'OVMF', bus: 'nvme' },
]

/** Options that give a machine two disks. */
function drives(bus: Bus, disks: readonly string[]): readonly string[] {
  if (bus === 'built-in') return disks.flatMap((file, i) => [i === 0 ? '--hda' : '--hdb', file])
  if (bus === 'virtio') return disks.flatMap((file) => ['--drive', `file=${file},if=virtio`])
  return disks.flatMap((file, i) => ['--drive', `file=${file},if=none,id=d${i}`, '--device', `nvme,drive=d${i}`])
}

let scratch = ''
let root = ''
let variables = ''
let code = ''
const loaders: Record<string, string> = {}
const times: string[] = []

export const soak: Soak = {
  name: 'boots',
  count: ROWS.length,
  async setup() {
    scratch = mkdtempSync(join(tmpdir(), 'retrap-boots-'))
    const linux = await rootLinux()
    const folder = join(scratch, 'root')
    mkdirSync(folder)
    const [ovmf] = (await debianMembers([{ package: 'ovmf', members: ['./usr/share/OVMF/OVMF_*_4M.fd'] }])) ?? []
    if (linux === undefined || ovmf === undefined || !(await makeDebianRoot(folder)))
      throw new Error('there is no apt to fetch Debian with')
    root = join(scratch, 'root.img')
    makeExt4(root, ROOT_BYTES, folder)
    variables = join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd')
    code = join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd')
    const bios = await makeGrubDisk(mkdtempSync(join(scratch, 'bios-')), linux, ROOT_COMMAND_LINE)
    const efi = await makeGrubEfiDisk(mkdtempSync(join(scratch, 'efi-')), linux, ROOT_COMMAND_LINE)
    loaders['SeaBIOS'] = bios ?? ''
    loaders['OVMF'] = efi ?? ''
  },
  async step(rng, index) {
    const { machine, firmware, bus } = ROWS[index % ROWS.length]!
    const row = `${machine}, ${firmware}, ${bus}`
    rng.note('row', row)
    const [disk, vars] = [join(scratch, 'disk.img'), join(scratch, 'vars.fd')]
    copyFileSync(root, disk, constants.COPYFILE_FICLONE)
    copyFileSync(variables, vars)
    const flash = firmware === 'OVMF' ? ['--firmware', code, '--firmware-vars', vars] : []
    const start = performance.now()
    const { code: ended, stdout } = await runRetrap(
      ['run', '--machine', machine, '--memory', '1G', ...flash, ...drives(bus, [loaders[firmware]!, disk])],
      {
        answers: [
          { to: 'login: ', type: 'root\n' },
          { to: 'Password: ', type: 'retrap\n' },
          {
            to: '# ',
            type: 'echo $(uname -s) $((6 * 7)) > /root/written; systemctl is-system-running --wait; echo state-$((6 * 7))\n',
          },
          { to: 'state-42', type: 'systemctl --failed --no-pager; systemctl poweroff\n' },
        ],
        deadlineMs: DEADLINE_MS,
      },
    )
    times.push(`${row}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
    if (ended !== 0) return `it ended with ${ended}:\n${stdout.slice(-3000)}`
    if (!stdout.includes('GRUB starts Linux')) return `GRUB said nothing:\n${stdout.slice(0, 2000)}`
    execFileSync('e2fsck', ['-fn', disk], { stdio: 'pipe' })
    const out = join(scratch, 'written')
    execFileSync('debugfs', ['-R', `dump /root/written ${out}`, disk], { stdio: 'pipe' })
    const written = readFileSync(out, 'utf8')
    if (written !== 'Linux 42\n') return `the file holds '${written}'`
  },
  teardown() {
    rmSync(scratch, { recursive: true, force: true })
  },
  summary: () => times.join('\n'),
}
