import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(5)
const DEADLINE_MS = 120_000
const [folder] =
  (await debianMembers([
    {
      package: 'u-boot-qemu',
      members: ['./usr/lib/u-boot/qemu-x86/u-boot.rom', './usr/lib/u-boot/qemu-x86_64/u-boot.rom'],
    },
  ])) ?? []

describe.runIf(folder !== undefined)(`U-Boot${skipNote(folder !== undefined, 'cannot fetch it')}`, () => {
  // The one of 32 bits runs the video BIOS.
  test.each(['qemu-x86', 'qemu-x86_64'])(
    '%s finds its network card and graphics card, and gets an address by DHCP',
    async (build) => {
      const firmware = join(folder!, `usr/lib/u-boot/${build}/u-boot.rom`)
      const { code, stdout } = await runRetrap(
        ['run', '--firmware', firmware, '--nic', 'user,model=e1000', '--vga', 'std', '--no-reboot', '--timeout', '60'],
        {
          deadlineMs: DEADLINE_MS,
          answers: [
            { to: 'stop autoboot', type: '\n' },
            // One line: U-Boot takes what is typed while it waits for the network for a Ctrl-C, and drops it.
            { to: '=> ', type: 'setenv autoload no; dhcp; reset\n' },
          ],
        },
      )
      expect(stdout).toContain('e1000: 52:54:00:12:34:56')
      expect(stdout).toContain('DHCP client bound to address 10.0.2.15')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
