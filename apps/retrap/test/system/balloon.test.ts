import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { writeCpio } from '../../src/linux/cpio.ts'
import { fetchLinux } from '../../src/linux/debian.ts'
import { runProgram, runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 240_000
const DEVICE = fileURLToPath(new URL('devices/dma-loop.ts', import.meta.url))
const MACHINE = fileURLToPath(new URL('programs/balloon-host.ts', import.meta.url))
const PROGRAM = fileURLToPath(new URL('programs/dma-loop.c', import.meta.url))
/** What a kernel says when something about its machine is wrong. */
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic|unchecked MSR|nobody cared|[xX]en.*fail/

const canRun = (await Apt.isAvailable()) && spawnSync('gcc', ['--version']).status === 0
if (!canRun) console.warn('SKIPPED: ballooning Debian needs apt and gcc')

const GUEST = [
  'echo $((full / 8 * 4)) > $xen/target_kb',
  'await "-le $((full / 2))"',
  'echo "half: $(current) of $full"',
  'echo $full > $xen/target_kb',
  'await "-eq $full"',
  'echo "full: $(current) of $full"',
]
const HOST = [
  'echo "== ready"',
  'await "-lt $((full * 6 / 10))"',
  'echo "half: $(current) of $full"',
  'await "-eq $full"',
  'echo "full: $(current) of $full"',
]
/** Who says how much memory the guest is to have: itself, or the host after that. */
const ASKING = { guest: GUEST, both: [...GUEST, ...HOST] }

const script = (asking: readonly string[]): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo 0 > /proc/sys/vm/compact_unevictable_allowed
xen=/sys/devices/system/xen_memory/xen_memory0
current() { cat $xen/info/current_kb; }
await() { n=0; while ! [ $(current) $1 ] && [ $n -lt 400 ]; do sleep 0.1; n=$((n + 1)); done; }
full=$(cat $xen/target_kb)
/dma-loop & program=$!
sleep 1
${asking.join('\n')}
kill -TERM $program
wait $program
dmesg > /dev/console
echo "== end"
exec /bin/busybox poweroff -f
`

describe.skipIf(!canRun)("Debian's kernel balloons by half and back, while a device makes DMA,", () => {
  let folder = ''
  let kernel = ''
  const initrd = (asking: keyof typeof ASKING): string => join(folder, asking)

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retrap-balloon-'))
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    kernel = kernelPath
    const program = join(folder, 'dma-loop')
    const compiled = spawnSync('gcc', ['-O1', '-static', '-o', program, PROGRAM])
    if (compiled.status !== 0) throw new Error(String(compiled.stderr))
    const [busybox, loop] = await Promise.all([readFile(busyboxPath), readFile(program)])
    for (const [name, asking] of Object.entries(ASKING)) {
      const directories = ['bin', 'dev', 'proc', 'sys'].map((path) => ({ kind: 'directory', path }) as const)
      await writeFile(
        join(folder, name),
        writeCpio([
          ...directories,
          { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
          { kind: 'file', path: 'bin/busybox', mode: 0o755, data: busybox },
          { kind: 'file', path: 'dma-loop', mode: 0o755, data: loop },
          { kind: 'file', path: 'init', mode: 0o755, data: new TextEncoder().encode(script(asking)) },
        ]),
      )
    }
  }, DEADLINE_MS)
  afterAll(async () => rm(folder, { recursive: true, force: true }))

  /** What both sides have counted. @param times - that the guest has given its memory away */
  function check(stdout: string, times: number): void {
    const text = stdout.replaceAll('\r', '')
    expect(text).not.toMatch(COMPLAINT)
    const numbers = (line: RegExp): number[] => (line.exec(text)?.slice(1) ?? []).map(Number)
    const states = [...text.matchAll(/(half|full): (\d+) of (\d+)/g)]
    expect(states.map(([, state]) => state)).toEqual(Array.from({ length: times }, () => ['half', 'full']).flat())
    for (const [, state, current, full] of states) {
      const share = Number(current) / Number(full)
      expect(share).toBeGreaterThan(state === 'half' ? 0.4 : 0.999)
      expect(share).toBeLessThan(state === 'half' ? 0.6 : 1.001)
    }
    const [copied = 0, ...mistakes] = numbers(/guest: copied (\d+) wrong (\d+) moved (\d+)/)
    expect(mistakes).toEqual([0, 0])
    expect(copied).toBeGreaterThan(500)
    const device = numbers(/device: copied (\d+) wrong (\d+) swept (\d+) holes (\d+) orphaned (\d+)/)
    expect(device.slice(0, 2)).toEqual([copied, 0])
    // It has looked at what the guest had given away.
    expect(device[3]).toBeGreaterThan(0)
  }

  test.each(['inline', 'worker'])(
    'asked for in the guest; the device is a module of its own, and maps the guest where it is: %s',
    async (transport) => {
      const { stdout, code } = await runRetrap(
        [
          ...['run', '--hypervisor', 'xen', '--kernel', kernel, '--initrd', initrd('guest'), '--memory', '256M'],
          ...['--device', `${DEVICE},transport=${transport}`, '--append', 'console=ttyS0 quiet'],
        ],
        { deadlineMs: DEADLINE_MS },
      )
      expect(code).toBe(0)
      check(stdout, 1)
    },
    DEADLINE_MS,
  )

  test.each([1, 4])(
    'asked for in the guest, then by the host in memory/target, with %i CPUs; no mapping shows what it must not',
    async (cpus) => {
      const { stdout, stderr, code } = await runProgram(
        process.execPath,
        ['--conditions=retrap-source', MACHINE, kernel, initrd('both'), String(cpus)],
        { deadlineMs: DEADLINE_MS },
      )
      expect(stderr).toBe('')
      expect(code).toBe(0)
      check(stdout, 2)
      const [, ...seen] =
        /host: (\d+) mappings, (\d+) orphaned, (\d+) frames left, (\d+) wrong; (\d+) frames at half/.exec(stdout) ?? []
      const [mappings = 0, orphaned = 0, left = 0, wrong = NaN, half = NaN] = seen.map(Number)
      expect(wrong).toBe(0)
      expect(mappings).toBeGreaterThan(1000)
      // Frames have left under mappings that were held, and were waited for.
      expect(orphaned).toBeGreaterThan(0)
      expect(left).toBeGreaterThan(0)
      expect(half).toBeLessThan(0.6 * (256 << 8))
    },
    DEADLINE_MS,
  )
})
