// Screens of boot loaders and installers: the picture must be that of QEMU's machine.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { ipxeDisc, makeBootFolder, makeGrubDisc, makeInstallerDisc, makeMemtestDisc } from '../installer-media.ts'
import { runRetrap } from '../processes.ts'
import { qemuScreen, retrapScreen } from '../screens.ts'
import { type BootRow, DEADLINE_MS } from './row.ts'

/** The share of pixels that must agree. */
const LEAST = 0.99
const QEMU_VGA = ['-machine', 'pc', '-vga', 'none', '-device', 'VGA', '-m', '1024']

/** A system, and the options that boot it in each machine. */
interface Screen {
  readonly name: string
  readonly media: (scratch: string) => Promise<{ readonly qemu: readonly string[]; readonly retrap: readonly string[] }>
  /** When QEMU's picture is there at the earliest, and how long it stays then. */
  readonly leastMs: number
  readonly settleMs: number
  readonly width: number
}

const disc = (path: string) => ({ qemu: ['-cdrom', path], retrap: ['--cdrom', path] })
const installer = (kind: 'text' | 'gtk', start: 'menu' | 'installer', leastMs: number, settleMs: number): Screen => ({
  name:
    start === 'menu' ? `ISOLINUX, menu of the ${kind} installer` : `Debian installer, ${kind}, choice of a language`,
  media: async (scratch) => disc(await makeInstallerDisc(scratch, kind, start)),
  leastMs,
  settleMs,
  width: start === 'menu' ? 640 : 1280,
})

const SCREENS: readonly Screen[] = [
  installer('text', 'menu', 4000, 3000),
  installer('gtk', 'menu', 4000, 3000),
  {
    name: 'GRUB, menu in a graphics mode',
    media: async (scratch) => disc(await makeGrubDisc(scratch)),
    leastMs: 4000,
    settleMs: 4000,
    width: 800,
  },
  {
    name: 'iPXE and PXELINUX from the network, menu of the text installer',
    async media(scratch) {
      const [path, folder] = [await ipxeDisc(), await makeBootFolder(scratch, 'text')]
      const network = `tftp=${folder},bootfile=pxelinux.0`
      return {
        qemu: ['-cdrom', path, '-boot', 'd', '-nic', `user,model=virtio-net-pci,${network}`],
        retrap: ['--cdrom', path, '--nic', `user,${network}`],
      }
    },
    leastMs: 15_000,
    settleMs: 5000,
    width: 640,
  },
  installer('text', 'installer', 40_000, 15_000),
  installer('gtk', 'installer', 60_000, 25_000),
]

const compared = SCREENS.map(({ name, media, leastMs, settleMs, width }): BootRow => ({
  name,
  async run(scratch) {
    const { qemu, retrap } = await media(scratch)
    const expected = await qemuScreen(scratch, [...QEMU_VGA, ...qemu], {
      leastMs,
      settleMs,
      deadlineMs: DEADLINE_MS,
      width,
    })
    const match = await retrapScreen(scratch, ['run', '--memory', '1G', ...retrap], expected, {
      least: LEAST,
      deadlineMs: DEADLINE_MS,
    })
    if (match.likeness < LEAST) return `${(100 * match.likeness).toFixed(2)} % of the pixels are QEMU's`
  },
}))

/** What a terminal is shown. Colours change within a word; other sequences move on. */
const withoutEscapes = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- what a terminal is told
  text.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '\n')

const MEMTEST: BootRow = {
  name: 'Memtest86+ on its screen',
  async run(scratch) {
    const path = await makeMemtestDisc(scratch)
    const { stdout } = await runRetrap(
      ['run', '--cdrom', path, '--memory', '64M', '--display', 'terminal', '--timeout', '90'],
      { deadlineMs: DEADLINE_MS },
    )
    const text = withoutEscapes(stdout)
    for (const expected of ['Memtest86+ v6', 'Status: Testing', 'Errors: 0'])
      if (!text.includes(expected)) return `its screen has no '${expected}':\n${text.slice(-2000)}`
  },
}

const SHELL: BootRow = {
  name: 'the shell of OVMF',
  async run(scratch) {
    const [ovmf = ''] = (await debianMembers([{ package: 'ovmf', members: ['./usr/share/OVMF/OVMF_*_4M.fd'] }])) ?? []
    const folder = join(ovmf, 'usr/share/OVMF')
    const variables = join(scratch, 'vars.fd')
    copyFileSync(join(folder, 'OVMF_VARS_4M.fd'), variables)
    const firmware = ['--firmware', join(folder, 'OVMF_CODE_4M.fd'), '--firmware-vars', variables]
    const { code, stdout } = await runRetrap(['run', '--machine', 'q35', '--memory', '256M', ...firmware], {
      answers: [
        { to: 'Shell> ', type: 'ver\r' },
        { to: 'UEFI v2.70', type: '' },
        { to: 'Shell> ', type: 'reset -s\r' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    if (code !== 0 || stdout.split('UEFI v2.70').length !== 3) return `it ended with ${code}:\n${stdout.slice(-2000)}`
  },
}

export const SCREEN_ROWS: readonly BootRow[] = [...compared, MEMTEST, SHELL]
