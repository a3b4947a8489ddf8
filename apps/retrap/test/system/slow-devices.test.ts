import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian needs apt, which is not on this machine')

const DEADLINE_MS = 240_000
const THERMOMETER = fileURLToPath(new URL('../../../../packages/device/examples/my-device.ts', import.meta.url))
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic|unchecked MSR|lost/

describe.skipIf(!hasApt)("Debian's kernel, on devices that take their time,", () => {
  let folder = ''
  beforeAll(async () => {
    await fetchLinux('linux-image-cloud-amd64')
    // Within the workspace, so that the module finds the package that it imports; no check of the workspace looks into `temp`.
    const temp = fileURLToPath(new URL('../../temp/', import.meta.url))
    await mkdir(temp, { recursive: true })
    folder = await mkdtemp(join(temp, 'devices-'))
    await copyFile(THERMOMETER, join(folder, 'thermometer.ts'))
  }, DEADLINE_MS)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const thermometer = (transport: string): string[] => [
    '--device',
    `${join(folder, 'thermometer.ts')},transport=${transport}`,
  ]
  const boot = async (args: readonly string[], ...commands: readonly string[]) => {
    const input = [...commands, 'poweroff -f'].map((command) => `${command}\n`).join('')
    const { code, stdout, stderr } = await runRetrap(['linux', '--memory', '256M', '--stats', 'json', ...args], {
      input,
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout).not.toMatch(COMPLAINT)
    expect(stdout).toContain('reboot: Power down')
    expect(code).toBe(0)
    const { exits } = JSON.parse(stderr) as { readonly exits: Readonly<Record<string, number>> }
    return { stdout, blocked: exits['blocked'] ?? 0 }
  }

  test(
    'boots to its prompt where every access is answered in a later turn of the event loop, a user’s model in a process',
    async () => {
      const { stdout, blocked } = await boot(
        ['--devices', 'async', ...thermometer('process')],
        'devmem 0xfed90000',
        'devmem 0xfed90004 32 1; sleep 1; devmem 0xfed90004',
        'echo $((6 * 7)) is the answer',
      )
      expect(stdout).toMatch(/^0x00000015\r$/m)
      expect(stdout).toMatch(/^0x00000001\r$/m)
      expect(stdout).toContain('42 is the answer')
      // A boot makes tens of thousands of accesses, and the vCPU has waited for each.
      expect(blocked).toBeGreaterThan(20_000)
    },
    DEADLINE_MS,
  )

  test('boots to its prompt with two CPUs where all devices are in one Worker', { timeout: DEADLINE_MS }, async () => {
    const trace = join(tmpdir(), `retrap-trace-${process.pid}.txt`)
    const { stdout, blocked } = await boot(
      ['--devices', 'worker', '--cpus', '2', '--trace', `ioreq:${trace}`, ...thermometer('worker')],
      'devmem 0xfed90000',
      'cat /proc/interrupts',
      'echo $(nproc) CPUs',
    )
    expect(stdout).toMatch(/^ +4: .*IO-APIC +4-edge +ttyS0/m)
    expect(stdout).toContain('2 CPUs')
    expect(stdout).toMatch(/^0x00000015\r$/m)
    expect(blocked).toBeGreaterThan(20_000)
    const lines = (await readFile(trace, 'utf8')).trimEnd().split('\n')
    await rm(trace)
    expect(lines.filter((line) => / board answered: /.test(line)).length).toBeGreaterThan(20_000)
    // Only the interrupt controllers, which are the hypervisor's, and nobody answer at once.
    const atOnce = lines.filter((line) => / done: /.test(line))
    expect(atOnce.length).toBeGreaterThan(1000)
    expect(atOnce.filter((line) => !/ ioreq (?:hypervisor|nobody) done: /.test(line)).slice(0, 5)).toEqual([])
  })
})
