import { beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
if (!hasApt) console.warn('SKIPPED: booting Debian needs apt, which is not on this machine')

const DEADLINE_MS = 240_000
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT =
  /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic(?!=)|unchecked MSR|nobody cared|XENBUS: Tim|xen.*fail/

/** Runs commands in the shell, and gives all that was printed. */
async function run(args: readonly string[], ...commands: readonly string[]): Promise<string> {
  const { code, stdout } = await runRetrap(['linux', '--hypervisor', 'xen', '--memory', '256M', ...args], {
    input: [...commands, 'poweroff -f'].map((command) => `${command}\n`).join(''),
    deadlineMs: DEADLINE_MS,
  })
  const text = stdout.replaceAll('\r', '')
  expect(text).not.toMatch(COMPLAINT)
  expect(text).toContain('reboot: Power down')
  expect(code).toBe(0)
  return text
}

/** How often each CPU has taken an interrupt, by its name in /proc/interrupts. */
const counts = (text: string, name: string): number[] =>
  (new RegExp(`^ *\\w+:((?: +\\d+)+) .*\\b${name}$`, 'm').exec(text)?.[1] ?? '').trim().split(/ +/).map(Number)

describe.skipIf(!hasApt)("Debian's kernel on Xen", () => {
  beforeAll(async () => void (await fetchLinux('linux-image-cloud-amd64')), DEADLINE_MS)

  // `npm run -s soak -- xen` has all combinations.
  test.each(
    withLong(
      [{ cpus: 4, grants: 2 }],
      [
        { cpus: 1, grants: 2 },
        { cpus: 4, grants: 1 },
      ],
    ),
  )(
    'takes its events, clock, timers, store and console from it: $cpus CPUs, version $grants of the grant table',
    async ({ cpus, grants }) => {
      const text = await run(
        ['--cpus', String(cpus), '--console', 'xen', '--append', `grant_table.version=${grants}`],
        'dmesg; cat /proc/interrupts',
        'cd /sys/devices/system; cat clocksource/clocksource0/current_clocksource; cat xen_memory/xen_memory0/target_kb',
        'cd /sys/hypervisor; cat type guest_type version/major version/minor uuid; ls /sys/bus/xen/drivers; cd /',
        'date +%s; echo $((6 * 7)) is the answer',
      )
      // As a real one's: only the versions differ.
      for (const line of [
        'Hypervisor detected: Xen HVM',
        'Xen version 4.17.',
        'Booting paravirtualized kernel on Xen HVM',
        'Xen: using vcpuop timer interface',
        'clocksource: Switched to clocksource xen',
        'xen:events: Using FIFO-based ABI',
        'xen:events: Xen HVM callback vector for event delivery is enabled',
        'xen:balloon: Initialising balloon driver',
        `xen:grant_table: Grant tables using version ${grants} layout`,
        'printk: console [hvc0] enabled',
        `installing Xen timer for CPU ${cpus - 1}`,
      ]) {
        expect(text).toContain(`] ${line}\n`)
      }
      expect(text).toMatch(/IOAPIC\[0\]: apic_id \d+, version 32, address 0xfec00000, GSI 0-47$/m)
      expect(text).toMatch(/^xen\n(26[012]\d{3}|25\d{4})$/m)
      expect(text).toMatch(/^xen\nHVM\n4\n17\n[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/m)
      expect(text).toContain('xenconsole')
      expect(text).toContain('42 is the answer')
      expect(counts(text, 'hvc_console').reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0)
      expect(counts(text, 'xenbus').reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0)
      for (let cpu = 0; cpu < cpus; cpu++) {
        expect(counts(text, `timer${cpu}`)[cpu]).toBeGreaterThan(50)
        if (cpus > 1) expect(counts(text, `callfuncsingle${cpu}`)[cpu]).toBeGreaterThan(0)
      }
      // Nothing ticks but Xen's timers.
      expect(text).toMatch(/^LOC:(?: +0)+ /m)
      const date = Number(/^(\d{10})$/m.exec(text)?.[1])
      expect(Math.abs(date - Date.now() / 1000)).toBeLessThan(DEADLINE_MS / 1000)
    },
    DEADLINE_MS,
  )

  test(
    "hears of events through the platform device's pin, in bitmaps of 2 levels, with the board in a thread of its own",
    async () => {
      const text = await run(
        ['--devices', 'worker', '--append', 'xen_no_vector_callback xen.fifo_events=0'],
        // Two consoles, one output: what they say may stand in one line. The command says it otherwise than its result.
        'dmesg; cat /proc/interrupts; echo "through hvc"0 > /dev/hvc0',
      )
      const [pin = 0] = counts(text, 'xen-platform-pci')
      const events = (counts(text, 'xenbus')[0] ?? 0) + (counts(text, 'hvc_console')[0] ?? 0)
      expect(events).toBeGreaterThan(0)
      // The first comes with the place of vcpu_info: that tells the guest to look at everything.
      expect(pin - events).toBeGreaterThanOrEqual(0)
      expect(pin - events).toBeLessThanOrEqual(2)
      expect(text).toContain('] xen:events: Using 2-level ABI\n')
      expect(text).toContain('through hvc0')
    },
    DEADLINE_MS,
  )
})
