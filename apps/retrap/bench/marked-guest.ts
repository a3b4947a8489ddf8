// Guests whose first process runs programs between marks on the console, and the processor time that emulators take for each.
import { processTime } from '@retrap/tooling/processor-time'
import { runProgram } from '../test/support/processes.ts'
import { threadTimes } from './thread-times.ts'

const FIRST_LINE = 'Linux version'

/** Seconds of a program: the host's processor time, the time by the host's clock, and by the guest's. */
export interface Times {
  readonly processor: number
  readonly wall: number
  readonly guest: number
}

/** When a program began and ended, in seconds of the host's monotonic clock. */
export interface Span {
  readonly from: number
  readonly to: number
  /** Seconds of processor time of the emulator's threads, by their names. */
  readonly threads: ReadonlyMap<string, number>
}

/** Names of two times that each run has: from the emulator's start to the first process, and from the kernel's first line on. */
export const BOOT = 'boot'
export const KERNEL = 'kernel'
/** And of a third: from the emulator's start to the last mark. */
export const WHOLE = 'whole'

/** What a run of an emulator gave, by program. */
export interface Run {
  readonly times: ReadonlyMap<string, Times>
  readonly spans: ReadonlyMap<string, Span>
  /** What the programs printed. */
  readonly results: ReadonlyMap<string, string>
  /** Programs that ended with another status than 0. */
  readonly failed: readonly string[]
  readonly stderr: string
}

/** Runs an emulator until it ends, and reads its processor time at the marks of its guest's first process, jit/init.c. */
export async function runMarked(program: string, args: readonly string[], deadlineMs: number): Promise<Run> {
  const times = new Map<string, Times>()
  const spans = new Map<string, Span>()
  const results = new Map<string, string>()
  const failed: string[] = []
  let seen = 0
  const start: Moment = { processor: 0, clock: now(), threads: new Map() }
  let kernel: Moment | undefined
  let begun = start
  const note = (name: string, from: Moment, to: Moment, guest: number): void => {
    const threads = [...to.threads].map(([thread, time]) => [thread, time - (from.threads.get(thread) ?? 0)] as const)
    spans.set(name, { from: from.clock, to: to.clock, threads: new Map(threads) })
    times.set(name, { processor: to.processor - from.processor, wall: to.clock - from.clock, guest })
  }
  const { code, stdout, stderr } = await runProgram(program, args, {
    deadlineMs,
    onOutput(output, pid) {
      const moment: Moment = { processor: processTime(pid), clock: now(), threads: threadTimes(pid) }
      if (kernel === undefined && output.includes(FIRST_LINE)) kernel = moment
      for (const [mark, kind, name = '', seconds, status] of output
        .slice(seen)
        .matchAll(/^@(\w+)(?: (\S+))?(?: (\S+) (\d+))?\r?\n/gm)) {
        seen = output.indexOf(mark, seen) + mark.length
        if (kind === 'begin') begun = moment
        if (kind === 'ready') {
          note(BOOT, start, moment, NaN)
          note(KERNEL, kernel ?? start, moment, NaN)
        }
        if (kind === 'done') note(WHOLE, start, moment, NaN)
        if (kind !== 'end') continue
        results.set(name, resultOf(output, name))
        if (status !== '0') failed.push(name)
        if (!name.startsWith('[')) note(name, begun, moment, Number(seconds))
      }
    },
  })
  if (!stdout.includes('\n@done')) throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return { times, spans, results, failed, stderr }
}

/** The host's clocks, in seconds: the processor time of the emulator and of its threads, and the monotonic clock. */
interface Moment {
  readonly processor: number
  readonly clock: number
  readonly threads: ReadonlyMap<string, number>
}

const now = (): number => Number(process.hrtime.bigint()) / 1e9

/** The lines between a program's marks, without what the kernel says in between. */
export function resultOf(output: string, name: string): string {
  const end = output.lastIndexOf(`@end ${name} `)
  // Names begin with other names, and the next program's mark may have come already.
  const begin = Math.max(...['\r', '\n'].map((after) => output.lastIndexOf(`@begin ${name}${after}`, end)))
  return output
    .slice(begin, end)
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== '' && !/^\[ *\d+\.\d+\]/.test(line))
    .join('\n')
}

/** @throws Error if programs printed something else on one emulator than on another */
export function checkResults(runs: ReadonlyMap<string, readonly Run[]>): void {
  const all = [...runs].flatMap(([peer, list]) => list.map(({ results }) => ({ peer, results })))
  for (const { peer, results } of all) {
    for (const [name, text] of results) {
      const expected = all[0]?.results.get(name)
      if (text !== expected) throw new Error(`${name} on ${peer} printed '${text}', on retrap '${expected}'`)
    }
  }
}

/** The median of several runs, by program. */
export function medians(runs: readonly Run[]): ReadonlyMap<string, Times> {
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN
  const names = [...(runs[0]?.times.keys() ?? [])]
  return new Map(
    names.map((name) => {
      const all = runs.map(({ times }) => times.get(name)).filter((time) => time !== undefined)
      const of = (key: keyof Times): number => median(all.map((time) => time[key]))
      return [name, { processor: of('processor'), wall: of('wall'), guest: of('guest') }]
    }),
  )
}
