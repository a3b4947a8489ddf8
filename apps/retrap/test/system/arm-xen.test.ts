import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runProgram, runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian for arm64 needs apt, which is not on this machine')

const DEADLINE_MS = 240_000
const BALLOON = fileURLToPath(new URL('programs/arm-balloon-host.ts', import.meta.url))
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT =
  /BUG:|WARNING:|Oops|Call trace|soft lockup|rcu.*stall|panic(?!=)|nobody cared|XENBUS: Tim|[xX]en.*fail/

describe.skipIf(!hasApt)("Debian's arm64 kernel on Xen", () => {
  let kernelPath = ''
  let busyboxPath = ''
  beforeAll(async () => {
    ;({ kernelPath, busyboxPath } = await fetchLinux('linux-image-arm64', {}, 'arm64'))
  }, DEADLINE_MS)

  test.each(withLong([{ cpus: 4, devices: 'async' }], [{ cpus: 1, devices: 'inline' }]))(
    'takes events, store and console from it: $cpus CPUs, devices $devices',
    async ({ cpus, devices }) => {
      const commands = [
        'dmesg | grep -i xen; cat /proc/interrupts',
        'cd /sys/hypervisor; cat type guest_type version/major version/minor uuid; ls /sys/bus/xen/drivers; cd /',
        'cat /sys/devices/system/xen_memory/xen_memory0/target_kb; echo $((6 * 7)) is the answer',
        'poweroff -f',
      ]
      const args = ['linux', '--arch', 'arm64', '--hypervisor', 'xen', '--console', 'xen', '--memory', '256M']
      const { code, stdout, stderr } = await runRetrap(
        [...args, '--cpus', `${cpus}`, '--devices', devices, '--stats', 'json'],
        { input: commands.map((command) => `${command}\n`).join(''), deadlineMs: DEADLINE_MS },
      )
      const text = stdout.replaceAll('\r', '')
      for (const line of [
        'Xen 4.17 support found',
        'xen:grant_table: Grant tables using version 1 layout',
        'xen:events: Using FIFO-based ABI',
        `Xen: initializing cpu${cpus - 1}`,
        'xen:balloon: Initialising balloon driver',
      ])
        expect(text).toContain(`] ${line}\n`)
      expect(text).toMatch(/^xen\nHVM\n4\n17\n[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/m)
      expect(text).toContain('xenconsole')
      expect(text).toMatch(/^(26[012]\d{3}|25\d{4})\n42 is the answer$/m)
      // Events come by the private interrupt, and lead to the store and the console.
      const count = (name: string): number =>
        (new RegExp(`^ *\\d+:((?: +\\d+)+) .*\\b${name}$`, 'm').exec(text)?.[1] ?? '')
          .trim()
          .split(/ +/)
          .reduce((sum, each) => sum + Number(each), 0)
      for (const name of ['GICv3 +31 Level +events', 'xenbus', 'hvc_console']) expect(count(name)).toBeGreaterThan(0)
      expect(text).toContain('reboot: Power down')
      expect(text).not.toMatch(COMPLAINT)
      expect(code).toBe(0)
      const { reason, counts } = JSON.parse(stderr)
      expect(reason).toBe('power-off')
      expect(counts.hypercalls).toBeGreaterThan(100)
    },
    DEADLINE_MS,
  )

  test.each(withLong([1], [4]))(
    'balloons through the store, while a device maps its memory: %d CPUs',
    async (cpus) => {
      const { stdout, stderr, code } = await runProgram(
        process.execPath,
        ['--conditions=retrap-source', BALLOON, kernelPath, busyboxPath, `${cpus}`],
        { deadlineMs: DEADLINE_MS },
      )
      expect(stderr).toBe('')
      expect(code).toBe(0)
      const text = stdout.replaceAll('\r', '')
      expect(text).not.toMatch(COMPLAINT)
      const seen = JSON.parse(/^seen: (.*)$/m.exec(text)?.[1] ?? '{}')
      expect(seen).toMatchObject({ wrong: 0, reason: 'power-off', sums: 3 })
      expect(seen.half).toBeLessThan(0.6 * seen.frames)
      expect(seen.full).toBe(seen.frames)
      // Device models have held RAM that left, and were told of it.
      expect(seen.orphaned).toBeGreaterThan(0)
      expect(seen.holes).toBeGreaterThan(0)
    },
    DEADLINE_MS,
  )
})
