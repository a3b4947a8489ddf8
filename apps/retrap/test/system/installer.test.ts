import { describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { fetchInstaller } from '../../src/linux/debian.ts'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn("SKIPPED: booting Debian's installer needs apt, which is not on this machine")

// Ten thousand million instructions, most of them to unpack the kernel and its initial RAM disk.
const DEADLINE_MS = 300_000

describe.skipIf(!hasApt)("Debian's installer", () => {
  test.each(['amd64', 'i386'] as const)(
    'shows its first screen on the serial console: %s',
    async (architecture) => {
      await fetchInstaller(architecture)
      const { code, stdout } = await runRetrap(['linux', '--installer', architecture], {
        // Ctrl-A x, once the installer asks for a language.
        answers: [{ to: 'Select a language', type: '\u0001x' }],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('Select a language')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
