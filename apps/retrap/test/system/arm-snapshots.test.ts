/** Debian for arm64, saved at its prompt, goes on in another process. */
import { join } from 'node:path'
import { Apt } from '@retrap/debian'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian for arm64 needs apt, which is not on this machine')

const DEADLINE_MS = 240_000
const folder = temporaryFolder('arm-snapshots')

test.skipIf(!hasApt).each([
  ['a GICv3, whose devices answer later', ['--cpus', '2', '--devices', 'async']],
  ['a GICv2', ['--machine', 'virt,gic-version=2']],
])('with %s', { timeout: 2 * DEADLINE_MS }, async (_what, options) => {
  const file = join(folder, `${options.length}.snapshot`)
  const first = await runRetrap(['linux', '--arch', 'arm64', ...options, '--save-on-exit', file], {
    answers: [
      { to: ' # ', type: 'mark=seven; sleep 100 & echo $mark-$((6 * 7))\n' },
      { to: 'seven-42', type: '\u0001x' },
    ],
    deadlineMs: DEADLINE_MS,
  })
  expect(first.stderr).toMatch(/saved to .*\.snapshot: [\d.]+ MiB; the guest stood still for \d+ ms/)
  expect(first.code).toBe(0)

  const commands = [
    'echo $mark again, $(nproc) CPUs',
    'time sleep 1',
    'dmesg -c > /dev/null; sha256sum /bin/busybox | cut -c 1-4 | wc -c',
    'jobs; kill %1; cat /proc/interrupts; dmesg',
    'poweroff -f',
  ]
  const second = await runRetrap(['restore', file], {
    input: commands.map((command) => `${command}\n`).join(''),
    deadlineMs: DEADLINE_MS,
  })
  // How far it has come is said where that takes a while.
  expect(second.stderr).toMatch(
    /^retrap: going on, as it was 20\S+, with: retrap linux --arch arm64[^\n]*\n(retrap: \d+ % of its memory has been read\r?\n)*$/,
  )
  expect(second.stdout).toMatch(new RegExp(`^seven again, ${options.length > 2 ? 2 : 1} CPUs\\r$`, 'm'))
  expect(second.stdout).toMatch(/^real\t0m 1\.\d+s\r$/m)
  expect(second.stdout).toMatch(/^5\r$/m)
  expect(second.stdout).toMatch(/Running +sleep 100/)
  expect(second.stdout).toMatch(/27 Level +arch_timer/)
  expect(second.stdout).toContain('reboot: Power down')
  expect(second.stdout).not.toMatch(/BUG:|WARNING:|Oops|Call trace|soft lockup|rcu.*stall|panic|Booting Linux/)
  expect(second.code).toBe(0)
})
