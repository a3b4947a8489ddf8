import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { fetchLinux } from '../../src/linux/debian.ts'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian needs apt, which is not on this machine')

// A boot takes a few seconds; the machine that tests may be busy with other things.
const DEADLINE_MS = 240_000
const lines = (...commands: string[]): string => commands.map((command) => `${command}\n`).join('')

describe.skipIf(!hasApt)("Debian's kernel", () => {
  let busyboxSum = ''
  beforeAll(async () => {
    const { busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    busyboxSum = createHash('sha256')
      .update(await readFile(busyboxPath))
      .digest('hex')
  }, DEADLINE_MS)

  // The next test has one.
  test.each(withLong([4], [1]))(
    'boots to a shell that works, with %d CPUs',
    async (cpus) => {
      const input = lines(
        'uname -a; cat /proc/cpuinfo /proc/interrupts; ls /sys/bus',
        'sha256sum /bin/busybox',
        'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo counted $i',
        'echo $(nproc) CPUs',
        'poweroff -f',
      )
      const { code, stdout, stderr } = await runRetrap(['linux', '--cpus', `${cpus}`], {
        input,
        deadlineMs: DEADLINE_MS,
      })
      expect(stderr).toBe('')
      expect(stdout).toMatch(/^Linux retrap 6\.1\.\S*-cloud-amd64 .* x86_64 GNU\/Linux/m)
      expect(stdout.match(/^processor\s*: \d+\r$/gm)).toHaveLength(cpus)
      for (const flag of ['avx2', 'fma', 'f16c', 'aes', 'sha_ni', 'xsaveopt'])
        expect(stdout).toMatch(new RegExp(`^flags\\s*:.* ${flag}( |\\r$)`, 'm'))
      // Translations are kept over address-space switches.
      expect(stdout.match(/^flags\s*: .* pcid .* invpcid .*$/gm)).toHaveLength(cpus)
      expect(stdout).toMatch(/^ +4: .*IO-APIC +4-edge +ttyS0/m)
      expect(stdout).toMatch(/^LOC: .*Local timer interrupts/m)
      expect(stdout).toMatch(/\bpci\b/)
      expect(stdout).toContain(`${busyboxSum}  /bin/busybox`)
      expect(stdout).toMatch(/^counted 1000\r$/m)
      expect(stdout).toContain(`${cpus} CPUs`)
      expect(stdout).toContain('reboot: Power down')
      // What a kernel says when something about its machine is wrong.
      expect(stdout).not.toMatch(/BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic|unchecked MSR/)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )

  // `npm run -s soak -- boot` has the kernel with all drivers too.
  test(
    'runs a command given on the command line, and powers off; in the most memory',
    async () => {
      // With as much memory as there can be, so that code lies above 2 GiB and RAM above 4 GiB too.
      const args = ['linux', '--memory', '3584M', '--command', 'echo $((6 * 7)) is the answer']
      const { code, stdout } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
      expect(stdout).toContain('42 is the answer')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
