import { readFile } from 'node:fs/promises'
import { createPc } from '@retrap/machine'
import { expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { fetchLinux } from '../../src/guests/linux/debian.ts'
import { buildInitramfs } from '../../src/guests/linux/initramfs.ts'
import { TEST_JIT } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian with five-level paging needs apt, which is not on this machine')

const DEADLINE_MS = 240_000

test.skipIf(!hasApt)(
  'Linux uses five-level paging on CPUs that have it',
  async () => {
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const pc = await createPc({
      memoryBytes: 256 * 2 ** 20,
      kernel: Uint8Array.from(await readFile(kernelPath)),
      initrd: buildInitramfs(await readFile(busyboxPath)),
      commandLine: 'console=ttyS0',
      cpu: 'max,+la57',
      clock: 'deterministic',
      jit: TEST_JIT,
    })
    const commands = ['grep -E "^flags|^address" /proc/cpuinfo\n', 'poweroff -f\n']
    let output = ''
    let answered = 0
    pc.serial.onTransmit((bytes) => {
      output += new TextDecoder().decode(bytes)
      const prompt = output.indexOf('/ # ', answered)
      if (prompt < 0) return
      answered = prompt + 4
      pc.serial.receive(new TextEncoder().encode(commands.shift() ?? ''))
    })
    expect((await pc.run({ timeoutMs: DEADLINE_MS })).reason).toBe('power-off')
    expect(output).toMatch(/^flags\s*: .* la57( |\r|$)/m)
    expect(output).toMatch(/^address sizes\s*: 40 bits physical, 57 bits virtual/m)
    expect(output).not.toMatch(/BUG:|WARNING:|Oops|Call Trace|panic/)
  },
  DEADLINE_MS,
)
