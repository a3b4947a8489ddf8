import { Apt } from '@retrap/debian'
import { expect, test } from 'vitest'
import { answerPrompts, kernelShell } from '../support/kernel-shell.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian with five-level paging needs apt, which is not on this machine')

const DEADLINE_MS = 240_000

test.skipIf(!hasApt)('Linux uses five-level paging on CPUs that have it', { timeout: DEADLINE_MS }, async () => {
  const { pc } = await kernelShell({ commandLine: 'console=ttyS0', cpu: 'max,+la57' })
  const told = answerPrompts(pc, ['grep -E "^flags|^address" /proc/cpuinfo', 'poweroff -f'])
  expect((await pc.run({ timeoutMs: DEADLINE_MS })).reason).toBe('power-off')
  expect(told()).toMatch(/^flags\s*: .* la57( |\r|$)/m)
  expect(told()).toMatch(/^address sizes\s*: 40 bits physical, 57 bits virtual/m)
  expect(told()).not.toMatch(/BUG:|WARNING:|Oops|Call Trace|panic/)
})
