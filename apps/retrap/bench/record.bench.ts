// What recording costs: the processor time of a whole process, user and system, all threads, with `--record` and without, for
// a boot of Debian's kernel and some work there, on a PC and on an Arm board, the reads and writes of the devices bench on its virtio
// disk, and a minute at the prompt in which nothing happens. Both runs have deterministic time. They come in pairs, one after the other, and the median of each counts.
// Ratios are speed against speed: 1 is a recording that costs nothing, more is better, and the goal is 1 / 1.1.
//
// npm run -s bench -- record [--only NAME,...] [--pairs N] [--count SCALE]
//
// Names: boot, work, arm-boot, arm-work, disk, idle; SCALE multiplies the work of the disk.
// @programs: qemu-system-x86_64 gcc as
import { randomFillSync } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runProgram } from '../test/support/processes.ts'
import { DISKS, diskWorkloads, withGuest } from './devices/guest.ts'

const DEADLINE_MS = 600_000
const IMAGE_BYTES = 128 << 20
/** A recording takes at most a tenth more. */
const GOAL = 1 / 1.1
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
// As the retrap command runs it: src/main.ts says so to the shell.
const LINUX = ['--max-semi-space-size=1', MAIN, 'linux', '--deterministic']

/** The work of the travel bench, four times. */
const WORK = 'for i in 1 2 3 4; do find /sys /proc/sys | md5sum; dd if=/dev/zero of=/x bs=1M count=32; done'

/** A run that is recorded or not. */
interface Work {
  readonly name: string
  readonly what: string
  /** Arguments of Node. */
  readonly args: readonly string[]
  /** Done before each run. */
  readonly prepare?: () => Promise<void>
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      pairs: { type: 'string', default: '3' },
      count: { type: 'string', default: '1' },
    },
  })
  const only = values.only?.split(',')
  const isWanted = (name: string): boolean => only?.includes(name) ?? true
  const pairs = Number(values.pairs)
  const folder = await mkdtemp(join(tmpdir(), 'retrap-record-'))
  const command = (name: string, what: string, line: string, ...more: string[]): Work => ({
    name,
    what,
    args: [...LINUX, ...more, '--command', line],
  })
  try {
    for (const [board, more] of [
      ['', []],
      ['arm-', ['--arch', 'arm64']],
    ] as const) {
      const boot = command(`${board}boot`, 'a boot of Debian', 'echo hi', ...more)
      if (isWanted(boot.name)) await compare(boot, pairs, folder)
      const work = command(`${board}work`, 'a boot, and work on files', WORK, ...more)
      if (isWanted(work.name)) await compare(work, pairs, folder)
    }
    if (isWanted('disk')) {
      const [image, contents] = [join(folder, 'disk'), randomFillSync(new Uint8Array(IMAGE_BYTES))]
      const works = diskWorkloads(Number(values.count), 0)
      await withGuest(DISKS[0]!, works, image, ['--deterministic'], async ({ retrap: [, arguments_] }) => {
        const prepare = (): Promise<void> => writeFile(image, contents)
        await compare({ name: 'disk', what: 'the disk bench', args: arguments_, prepare }, pairs, folder)
      })
    }
    if (isWanted('idle')) await compare(command('idle', 'an idle minute', 'sleep 60'), pairs, folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compare({ name, what, args, prepare }: Work, pairs: number, folder: string): Promise<void> {
  const recording = join(folder, 'run.recording')
  const times: { without: number[]; recorded: number[] } = { without: [], recorded: [] }
  for (let pair = 0; pair < pairs; pair++)
    for (const [list, more] of [
      [times.without, []],
      [times.recorded, ['--record', recording]],
    ] as const) {
      await prepare?.()
      list.push(await processorTime([...args, ...more], folder))
    }
  const [without, recorded] = [median(times.without), median(times.recorded)]
  const ratio = without / recorded
  const mib = ((await stat(recording)).size / 2 ** 20).toFixed(1)
  const costs = `${((recorded / without - 1) * 100).toFixed(1)} % more`
  console.log(
    `record-${name}: ${ratio.toFixed(2)} x the same run without (${what}: ${recorded.toFixed(2)} s of processor time ` +
      `against ${without.toFixed(2)} s, ${costs}, ${mib} MiB; load ${loadavg()[0]!.toFixed(0)}; ` +
      `${ratio >= GOAL ? 'reaches the goal' : 'BELOW THE GOAL'}: at most 10 % more)`,
  )
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

/** Runs Node to its end. @returns the seconds of processor time that it has used */
async function processorTime(args: readonly string[], folder: string): Promise<number> {
  const file = join(folder, 'usage')
  const tell = `import { writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
if (isMainThread) process.on('exit', () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.resourceUsage())))`
  const hook = `--import=data:text/javascript,${encodeURIComponent(tell)}`
  const { code, stdout, stderr } = await runProgram(process.execPath, [hook, ...args], { deadlineMs: DEADLINE_MS })
  if (code !== 0) throw new Error(`retrap ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  const { userCPUTime, systemCPUTime } = JSON.parse(await readFile(file, 'utf8')) as NodeJS.ResourceUsage
  return (userCPUTime + systemCPUTime) / 1e6
}
