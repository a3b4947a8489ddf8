import { expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: Debian with its hot code compiled needs apt, which is not on this machine')

const DEADLINE_MS = 480_000
/** Keys of a terminal would come when the host has them. */
const COMMAND = 'uname -a; sha256sum /bin/busybox; cat /proc/interrupts /proc/uptime; nproc'

/** Boots Debian on virtual time. */
async function boot(
  jit: 'on' | 'off',
): Promise<{ readonly stdout: string; readonly statistics: Record<string, unknown> }> {
  const options = `linux --deterministic --cpus 2 --devices async --stats json --jit ${jit} --command`.split(' ')
  const { code, stdout, stderr } = await runRetrap([...options, COMMAND], { deadlineMs: DEADLINE_MS / 2 })
  expect(code).toBe(0)
  return { stdout, statistics: JSON.parse(stderr) as Record<string, unknown> }
}

test.skipIf(!hasApt)(
  'Debian executes the same instructions, and prints the same, with its hot code compiled',
  async () => {
    const [interpreted, compiled] = [await boot('off'), await boot('on')]
    expect(interpreted.stdout).toContain('reboot: Power down')
    expect(compiled.stdout).toBe(interpreted.stdout)
    expect(compiled.statistics['instructions']).toBe(interpreted.statistics['instructions'])
    expect(interpreted.statistics['counts']).not.toHaveProperty('jit')
    expect(compiled.statistics['counts']).toHaveProperty('jit.units', expect.any(Number))
  },
  DEADLINE_MS,
)
