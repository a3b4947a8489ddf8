import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian needs apt, which is not on this machine')

// A boot takes a few seconds; the machine that tests may be busy with other things.
const DEADLINE_MS = 240_000

describe.skipIf(!hasApt)("Debian's kernel", () => {
  let busyboxSum = ''
  beforeAll(async () => {
    const { busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    busyboxSum = sha256(await readFile(busyboxPath))
  }, DEADLINE_MS)

  // With as much memory as there can be, so that code lies above 2 GiB and RAM above 4 GiB too. `npm run -s soak -- boot` has
  // the kernel with all drivers.
  test.each(withLong([[4, '3584M'] as const], [[1, '512M']]))(
    'runs commands given on the command line in a shell that works, and powers off, with %d CPUs and %s',
    async (cpus, memory) => {
      const commands = [
        'uname -a; cat /proc/cpuinfo /proc/interrupts; ls /sys/bus',
        'sha256sum /bin/busybox',
        'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo counted $i',
        'echo $(nproc) CPUs',
      ]
      const args = ['linux', '--cpus', `${cpus}`, '--memory', memory, '--command', commands.join('; ')]
      const { code, stdout, stderr } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
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
})
