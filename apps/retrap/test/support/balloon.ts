// Debian on Xen gives half of its memory away and takes it back, while a device copies pages by DMA and maps the guest.
import { match, doesNotMatch, deepEqual, equal, ok } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram } from '@retrap/tooling/skip'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { FIRST_PROCESS, TO_DEVICES } from './first-process.ts'
import { runProgram, runRetrap } from './processes.ts'

const DEVICE = fileURLToPath(new URL('../system/devices/dma-loop.ts', import.meta.url))
const MACHINE = fileURLToPath(new URL('../system/programs/balloon-host.ts', import.meta.url))
const PROGRAM = fileURLToPath(new URL('../system/programs/dma-loop.c', import.meta.url))
/** Messages of a kernel whose machine is wrong. */
const COMPLAINT =
  /BUG:|WARNING:|Oops|Call Trace|soft lockup|rcu.*stall|panic(?!=)|unchecked MSR|nobody cared|[xX]en.*fail/

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

const script = (asking: readonly string[]): string => `${FIRST_PROCESS}echo 0 > /proc/sys/vm/compact_unevictable_allowed
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

/** Returns whether this host can build the guest's program; needs apt too. */
export const hasCompiler = (): boolean => hasProgram('gcc')

/** A guest that balloons, and the checks of its output. Throws an AssertionError where a check fails. */
export class BalloonGuest {
  readonly #kernel: string
  readonly #folder: string
  readonly #deadlineMs: number

  private constructor(kernel: string, folder: string, deadlineMs: number) {
    this.#kernel = kernel
    this.#folder = folder
    this.#deadlineMs = deadlineMs
  }

  /** Builds the guest's program and its initial RAM disks in `folder`. */
  static async build(folder: string, deadlineMs: number): Promise<BalloonGuest> {
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const program = join(folder, 'dma-loop')
    const compiled = spawnSync('gcc', ['-O1', '-static', '-o', program, PROGRAM])
    if (compiled.status !== 0) throw new Error(String(compiled.stderr))
    const [busybox, loop] = await Promise.all([readFile(busyboxPath), readFile(program)])
    for (const [name, asking] of Object.entries({ guest: GUEST, both: [...GUEST, ...HOST] })) {
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
    return new BalloonGuest(kernelPath, folder, deadlineMs)
  }

  /** The guest asks by itself; the device is a module of its own. */
  async askedInGuest(transport: string): Promise<void> {
    const initrd = join(this.#folder, 'guest')
    const { stdout, code } = await runRetrap(
      [
        ...['run', '--hypervisor', 'xen', '--kernel', this.#kernel, '--initrd', initrd, '--memory', '256M'],
        ...['--device', `${DEVICE},transport=${transport}`, '--append', TO_DEVICES],
      ],
      { deadlineMs: this.#deadlineMs },
    )
    equal(code, 0)
    check(stdout, 1)
  }

  /** The guest asks by itself, then the host asks in memory/target and looks at every mapping of the device. */
  async askedByBoth(cpus: number): Promise<void> {
    const { stdout, stderr, code } = await runProgram(
      process.execPath,
      ['--conditions=retrap-source', MACHINE, this.#kernel, join(this.#folder, 'both'), String(cpus)],
      { deadlineMs: this.#deadlineMs },
    )
    equal(stderr, '')
    equal(code, 0)
    check(stdout, 2)
    const [, ...seen] =
      /host: (\d+) mappings, (\d+) orphaned, (\d+) frames left, (\d+) wrong; (\d+) frames at half/.exec(stdout) ?? []
    const [mappings = 0, orphaned = 0, left = 0, wrong = NaN, half = NaN] = seen.map(Number)
    equal(wrong, 0)
    ok(mappings > 1000, `${mappings} mappings`)
    // Frames have left under mappings that were held, and the release waited for the mappings.
    ok(orphaned > 0, `${orphaned} orphaned`)
    ok(left > 0, `${left} frames left`)
    ok(half < 0.6 * (256 << 8), `${half} frames at half`)
  }
}

/** The counters of guest and device. @param times - that the guest has given its memory away */
function check(stdout: string, times: number): void {
  const text = stdout.replaceAll('\r', '')
  doesNotMatch(text, COMPLAINT)
  match(text, /^== end$/m)
  const numbers = (line: RegExp): number[] => (line.exec(text)?.slice(1) ?? []).map(Number)
  const states = [...text.matchAll(/(half|full): (\d+) of (\d+)/g)]
  deepEqual(
    states.map(([, state]) => state),
    Array.from({ length: times }, () => ['half', 'full']).flat(),
  )
  for (const [, state, current, full] of states) {
    const share = Number(current) / Number(full)
    const [least, most] = state === 'half' ? [0.4, 0.6] : [0.999, 1.001]
    ok(share > least && share < most, `${state}: ${share}`)
  }
  const [copied = 0, ...mistakes] = numbers(/guest: copied (\d+) wrong (\d+) moved (\d+)/)
  deepEqual(mistakes, [0, 0])
  ok(copied > 500, `${copied} copied`)
  const device = numbers(/device: copied (\d+) wrong (\d+) swept (\d+) holes (\d+) orphaned (\d+)/)
  deepEqual(device.slice(0, 2), [copied, 0])
  // The device has looked at memory that the guest had given away.
  ok((device[3] ?? 0) > 0, `${device[3]} holes`)
}
