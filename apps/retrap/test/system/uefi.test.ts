import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { runRetrap } from '../support/processes.ts'
import { readPng } from '../support/screens.ts'

const test = sliceTests(2)
const DEADLINE_MS = 240_000

const [ovmf] =
  (await debianMembers([
    {
      package: 'ovmf',
      members: [
        './usr/share/OVMF/OVMF_CODE_4M.fd',
        './usr/share/OVMF/OVMF_VARS_4M.fd',
        './usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
      ],
    },
  ])) ?? []
const scratch = temporaryFolder('uefi')

const code = join(ovmf ?? '', 'usr/share/OVMF/OVMF_CODE_4M.fd')

/** A copy of the variables as Debian ships them: none is set. */
function freshVariables(name: string): string {
  const path = join(scratch, name)
  copyFileSync(join(ovmf ?? '', 'usr/share/OVMF/OVMF_VARS_4M.fd'), path)
  return path
}

/** A vendor of variables: those of UEFI's own are of known names only. */
const VENDOR = '-guid 6e1f7a2c-93d0-4b5e-8a46-2b0c1d9e7f35'
const PAUSE = { to: 'any other key to continue', type: '\r' }
const POWER_OFF = { to: 'Shell> ', type: 'reset -s\r' }
const set = (value: number): string => `setvar Kept ${VENDOR} -bs -rt -nv =0x${value.toString(16)}\r`
const show = { to: 'Shell> ', type: `setvar Kept ${VENDOR}\r` }

/** The value that the shell has printed, lowest byte first. */
function kept(stdout: string): number {
  const [, low = '', high = ''] = /Kept - 0002 Bytes\s+([0-9A-F]{2}) ([0-9A-F]{2})/.exec(stdout) ?? []
  return Number.parseInt(high + low, 16)
}

describe.runIf(ovmf !== undefined)(`UEFI firmware in flash${skipNote(ovmf !== undefined, 'cannot fetch it')}`, () => {
  test(
    'keeps its variables in a file, from one machine to another, although the process is killed while it writes them',
    async () => {
      const vars = freshVariables('kept.fd')
      const flash = ['--firmware', code, '--firmware-vars', vars]
      const values = Array.from({ length: 60 }, (_, i) => 0x1000 + i)
      const drives = [
        '--drive',
        `if=pflash,unit=0,readonly=on,file=${code}`,
        '--drive',
        `if=pflash,unit=1,file=${vars}`,
      ]
      const first = await runRetrap(['run', ...drives], {
        answers: [PAUSE, { to: 'Shell> ', type: values.map(set).join('') }],
        onOutput: (output, pid) => {
          // The first prompts are those of what comes before.
          if (output.split('Shell> ').length > 20) process.kill(pid, 'SIGKILL')
        },
        deadlineMs: DEADLINE_MS,
      })
      expect(first.code).toBe(null)

      const screen = join(scratch, 'screen.png')
      const picture = ['--device', 'ramfb', '--screenshot-on-exit', screen]
      const second = await runRetrap(['run', '--machine', 'q35', ...flash, ...picture], {
        answers: [PAUSE, show, { to: 'Shell> ', type: 'pci\r' }, POWER_OFF],
        deadlineMs: DEADLINE_MS,
      })
      expect(kept(second.stdout)).toBeGreaterThan(values[10]!)
      expect(kept(second.stdout)).toBeLessThan(values[40]!)
      expect(second.stdout).toContain('Vendor 8086 Device 29C0')
      expect(second.code).toBe(0)
      // The text of the shell on black.
      const { width, height, rgb } = readPng(readFileSync(screen))
      expect([width, height]).toEqual([800, 600])
      const lit = rgb.filter((value) => value > 0x80).length / rgb.length
      expect(lit).toBeGreaterThan(0.001)
      expect(lit).toBeLessThan(0.3)
    },
    2 * DEADLINE_MS,
  )

  test(
    'with Secure Boot starts in system-management mode, which alone writes its variables',
    async () => {
      const secure = join(ovmf!, 'usr/share/OVMF/OVMF_CODE_4M.secboot.fd')
      const machine = [
        ...['--machine', 'q35,smm=on', '--cpus', '2'],
        ...['--drive', `if=pflash,unit=0,readonly=on,file=${secure}`],
        ...['--drive', `if=pflash,unit=1,secure=on,file=${freshVariables('secure.fd')}`],
      ]
      const first = await runRetrap(['run', ...machine], {
        answers: [PAUSE, { to: 'Shell> ', type: set(0x5a17) }, POWER_OFF],
        deadlineMs: DEADLINE_MS,
      })
      expect(first.code).toBe(0)
      const second = await runRetrap(['run', ...machine], {
        answers: [PAUSE, show, POWER_OFF],
        deadlineMs: DEADLINE_MS,
      })
      expect(kept(second.stdout)).toBe(0x5a17)
      expect(second.code).toBe(0)
    },
    2 * DEADLINE_MS,
  )
})
