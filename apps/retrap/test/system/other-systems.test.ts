import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Apt, fetchMembers } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(6)
const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting systems other than Linux needs apt, which is not on this machine')

const DEADLINE_MS = 120_000
const LEAVE = '\u0001x'

/** Fetches one file of a Debian package, or has it already. */
async function fetchFile(packageName: string, member: string): Promise<string> {
  const [folder = ''] = await fetchMembers([{ package: packageName, members: [`./${member}`] }])
  return join(folder, member)
}

/** Real mode, 16-bit and 32-bit code, BIOS services, PV guests in level 3: what Linux does not try. */
describe.skipIf(!hasApt)('systems other than Linux', () => {
  test.each(
    withLong(
      [
        { cpus: 2, hypervisor: 'none', functions: 3 },
        // The build for QEMU: it finds one PCI function more, with I/O and memory BARs.
        { cpus: 1, hypervisor: 'xen', functions: 4 },
      ],
      [{ cpus: 1, hypervisor: 'none', functions: 3 }],
    ),
  )(
    'SeaBIOS sets the board up and finds nothing to boot from, with $cpus CPUs, on $hypervisor',
    async ({ cpus, hypervisor, functions }) => {
      const firmware = await fetchFile('seabios', 'usr/share/seabios/bios-256k.bin')
      const debug = ['--device', 'isa-debugcon,iobase=0x402,chardev=stderr']
      const machine = ['--cpus', `${cpus}`, '--hypervisor', hypervisor]
      const { code, stdout, stderr } = await runRetrap(['run', '--firmware', firmware, ...machine, ...debug], {
        answers: [{ to: 'No bootable device', type: LEAVE }],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('SeaBIOS (version')
      expect(stderr).toContain(`Found ${cpus} cpu(s)`)
      expect(stderr).toContain(`Found ${functions} PCI devices`)
      expect(stderr).toContain('0000000000100000 - 000000001fffe000 = 1 RAM')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )

  test(
    'UEFI firmware offers its shell, which resets the machine or powers it off',
    async () => {
      const firmware = await fetchFile('ovmf', 'usr/share/ovmf/OVMF.fd')
      const { code, stdout } = await runRetrap(['run', '--firmware', firmware], {
        answers: [
          { to: 'any other key to continue', type: '\r' },
          { to: 'Shell>', type: 'reset -s\r' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('UEFI Interactive Shell')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )

  test('Xen starts Linux as a paravirtual guest', { timeout: DEADLINE_MS }, async () => {
    const packed = await fetchFile('xen-hypervisor-4.17-amd64', 'boot/xen-4.17-amd64.gz')
    const xen = `${packed}.elf`
    await writeFile(xen, gunzipSync(await readFile(packed)))
    const { kernelPath } = await fetchLinux('linux-image-cloud-amd64')
    const append = 'com1=115200,8n1 console=com1 noreboot'
    const images = ['--kernel', xen, '--append', append, '--module', `${kernelPath} console=hvc0`]
    const args = ['run', ...images, '--cpus', '2', '--memory', '1G']
    const { code, stdout } = await runRetrap(args, {
      answers: [{ to: 'about to get started...', type: LEAVE }],
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout).toContain('Bootloader: retrap')
    expect(stdout).toContain('Brought up 2 CPUs')
    expect(stdout).toContain('Dom0 kernel: 64-bit')
    expect(stdout).not.toMatch(/Panic on CPU|Xen WARN|Xen BUG/)
    expect(code).toBe(0)
  })

  test.each([
    ['x64', 'max'],
    ['ia32', 'pentium'],
  ])('memtest86+ (%s) runs its first test without errors on %s', { timeout: DEADLINE_MS }, async (variant, cpu) => {
    const kernel = await fetchFile('memtest86+', `boot/memtest86+${variant}.bin`)
    const { code, stdout } = await runRetrap(
      ['run', '--kernel', kernel, '--append', 'console=ttyS0,115200', '--memory', '64M', '--cpu', cpu],
      { answers: [{ to: '0xffffffff', type: LEAVE }], deadlineMs: DEADLINE_MS },
    )
    expect(stdout).toContain('Memtest86+ v')
    expect(stdout).toContain('Errors: 0')
    expect(stdout).not.toContain('FAIL')
    expect(code).toBe(0)
  })
})
