// Guests whose first process runs programs between marks on the console, and the processor time that emulators take for each.
import { processTime } from '@retrap/tooling/processor-time'
import { runProgram } from '../test/support/processes.ts'

const FIRST_LINE = 'Linux version'

/** Seconds of a program: the host's processor time, and what the guest's clock showed. */
export interface Times {
  readonly processor: number
  readonly guest: number
}

/** What a run of an emulator gave, by program. */
export interface Run {
  readonly times: ReadonlyMap<string, Times>
  /** What the programs printed. */
  readonly results: ReadonlyMap<string, string>
  /** Programs that ended with another status than 0. */
  readonly failed: readonly string[]
  readonly stderr: string
}

/** Runs an emulator until it ends, and reads its processor time at the marks of its guest's first process, jit/init.c. */
export async function runMarked(program: string, args: readonly string[], deadlineMs: number): Promise<Run> {
  const times = new Map<string, Times>()
  const results = new Map<string, string>()
  const failed: string[] = []
  let seen = 0
  let begun = NaN
  let startOfKernel = NaN
  const { code, stdout, stderr } = await runProgram(program, args, {
    deadlineMs,
    onOutput(output, pid) {
      const processor = processTime(pid)
      if (Number.isNaN(startOfKernel) && output.includes(FIRST_LINE)) startOfKernel = processor
      for (const [mark, kind, name = '', seconds, status] of output
        .slice(seen)
        .matchAll(/^@(\w+)(?: (\S+))?(?: (\S+) (\d+))?\r?\n/gm)) {
        seen = output.indexOf(mark, seen) + mark.length
        if (kind === 'begin') begun = processor
        if (kind === 'ready') times.set('boot', { processor: processor - startOfKernel, guest: NaN })
        if (kind !== 'end') continue
        results.set(name, resultOf(output, name))
        if (status !== '0') failed.push(name)
        if (!name.startsWith('[')) times.set(name, { processor: processor - begun, guest: Number(seconds) })
      }
    },
  })
  if (!stdout.includes('\n@done')) throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return { times, results, failed, stderr }
}

/** The lines between a program's marks, without what the kernel says in between. */
function resultOf(output: string, name: string): string {
  const between = output.slice(output.lastIndexOf(`@begin ${name}`), output.lastIndexOf(`@end ${name}`))
  return between
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
      return [name, { processor: median(all.map((t) => t.processor)), guest: median(all.map((t) => t.guest)) }]
    }),
  )
}
