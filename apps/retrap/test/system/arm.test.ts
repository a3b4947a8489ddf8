import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runHere } from '../support/in-process.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian for arm64 needs apt, which is not on this machine')

const DEADLINE_MS = 240_000

describe.skipIf(!hasApt)("Debian's arm64 kernel", () => {
  let busyboxSum = ''
  beforeAll(async () => {
    const { busyboxPath } = await fetchLinux('linux-image-arm64', {}, 'arm64')
    busyboxSum = sha256(await readFile(busyboxPath))
  }, DEADLINE_MS)

  test.each(
    withLong(
      [[4, 'async', 'on'] as const],
      [
        [1, 'inline', 'on'],
        [2, 'inline', 'off'],
      ],
    ),
  )('boots to a shell with %d CPUs, devices %s, the JIT %s', { timeout: DEADLINE_MS }, async (cpus, devices, jit) => {
    const commands = [
      'uname -a; cat /proc/cpuinfo /proc/interrupts',
      'sha256sum /bin/busybox',
      'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo counted $i',
      'awk "BEGIN { print 1 / 3, 22 / 7 }"',
      'echo $(nproc) CPUs',
      'poweroff -f',
    ]
    const args = ['linux', '--arch', 'arm64', '--cpus', `${cpus}`, '--devices', devices, '--jit', jit]
    const { code, stdout, stderr } = await runRetrap(args, {
      input: commands.map((command) => `${command}\n`).join(''),
      deadlineMs: DEADLINE_MS,
    })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^Linux retrap 6\.1\.\S*-arm64 .* aarch64 GNU\/Linux/m)
    expect(stdout.match(/^processor\s*: \d+\r$/gm)).toHaveLength(cpus)
    expect(stdout).toMatch(/^Features\s*: .*\basimd\b.*\batomics\b/m)
    expect(stdout).toMatch(/GICv3 +27 Level +arch_timer/)
    expect(stdout).toContain(`${busyboxSum}  /bin/busybox`)
    expect(stdout).toMatch(/^counted 1000\r$/m)
    expect(stdout).toMatch(/^0\.333333 3\.14286\r$/m)
    expect(stdout).toContain(`${cpus} CPUs`)
    expect(stdout).toContain('reboot: Power down')
    expect(stdout).not.toMatch(/BUG:|WARNING:|Oops|Call trace|soft lockup|rcu.*stall|panic/)
    expect(code).toBe(0)
  })
})

test('what only a PC has is refused', async () => {
  const refused = async (...args: string[]): Promise<string> =>
    (await runHere(['linux', '--arch', 'arm64', ...args], { deadlineMs: DEADLINE_MS })).stderr
  expect(await refused('--machine', 'q35')).toContain('--arch arm64 has --machine virt')
  expect(await refused('--cpu', 'core2')).toContain('--cpu is not there for --arch arm64; leave it out: there is one')
  expect(await refused('--screenshot-on-exit', 'a.png')).toContain('this machine has no graphics card; add --vga std')
})
