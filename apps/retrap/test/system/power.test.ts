import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 120_000

/** Powers off when the button is pressed; busybox's acpid reads it from the input device. */
const AUTO = `${FIRST_PROCESS}/drivers
mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\\necho the button was pressed\\npoweroff -f\\n' > /etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid -d -c /etc/acpi > /dev/console 2>&1 &
sleep 1
echo waits for the button
sleep 1000
`

const linux = await linuxWith(['button', 'evdev'], AUTO)
const scratch = temporaryFolder('power')

const there = linux !== undefined

describe.runIf(there)(`Linux powers off by the button${skipNote(there, 'there is no apt')}`, () => {
  test.each([
    ['that SIGTERM presses, on a q35 whose board is in a Worker', ['--machine', 'q35', '--devices', 'worker'], false],
    ['that Ctrl-A p presses', [], true],
  ])('%s', { timeout: DEADLINE_MS }, async (_what, more, key) => {
    const initrd = join(scratch, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const images = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', `${TO_DEVICES} rdinit=/auto`]
    let pressed = false
    const { code, stdout, stderr } = await runRetrap(['run', ...images, '--no-reboot', ...more], {
      answers: key ? [{ to: 'waits for the button', type: '\u0001p' }] : [],
      onOutput: (output, pid) => {
        if (key || pressed || !output.includes('waits for the button')) return
        pressed = true
        process.kill(pid, 'SIGTERM')
      },
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout).toContain('the button was pressed')
    expect(stderr).toContain(key ? '' : 'SIGTERM presses the power button')
    expect(code).toBe(0)
  })
})
