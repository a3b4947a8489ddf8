// Compares checkouts, or settings of one, in pairs: all run the same guest at the same time on one core, so that whatever else
// the host does slows all of them alike. Ratios repeat to 1 or 2 % on a busy host, where runs one after the other differ by 30 %.
//
// npm run -s bench -- pairs NAME SETTING SETTING... [--rounds N] [--core N]
//
// NAME is boot or a program of `bench -- real`. A SETTING is the folder of a built checkout and options of `retrap run`, as one
// argument: `'../before --jit off'`; `.` is this checkout. The first setting is what the others are compared with, and
// `--rounds` (default 3) is how often. `--core` (default: the last) is the one that all processes and their threads are held to.
// A line tells how many times as fast as the first a setting is, by processor time of all threads: from a process's start to its
// end, and from the program's first mark to its last. No code is kept from run to run. All have to print the same.
//
// Where a package has been edited since the build, each start generates the interpreter anew, which takes a second: build both.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { hasProgram } from '@retrap/tooling/skip'
import { MAIN } from './jit/peers.ts'
import { BOOT, checkResults, type Run, runMarked, WHOLE } from './marked-guest.ts'
import { commandOf, fetchKernel, withGuest, type Guest } from './real/guest.ts'
import { fetchImages } from './real/packages.ts'
import { choosePrograms } from './real/programs.ts'

const DEADLINE_MS = 3_600_000
const ROOT = resolve(import.meta.dirname, '../../..')

/** A checkout and its options. */
interface Setting {
  readonly title: string
  readonly main: string
  readonly options: readonly string[]
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      core: { type: 'string', default: String(availableParallelism() - 1) },
    },
  })
  const [name, ...texts] = positionals
  if (name === undefined || texts.length < 2) {
    throw new Error(
      'pairs: expected the name of a program, and two settings or more; the head of pairs.bench.ts has examples',
    )
  }
  if (!hasProgram('taskset')) {
    console.log('pairs: SKIPPED, nothing was measured: there is no taskset, which holds processes to one core')
    return
  }
  const settings = texts.map((text, i) => settingOf(text, texts.indexOf(text) === i ? text : `${text} (${i + 1})`))
  const program = name === BOOT ? undefined : choosePrograms([name]).find((found) => found.name === name)
  if (program === undefined && name !== BOOT) throw new Error(`pairs: '${name}' stands for several programs`)
  await fetchKernel()
  const image = program && (await fetchImages([program.image])).get(program.image)
  const rounds = Number(values.rounds)
  await withGuest(image, program, async (guest) => {
    const all = new Map<string, Run[]>(settings.map(({ title }) => [title, []]))
    for (let round = 1; round <= rounds; round++) {
      const runs = await atOnce(settings, guest, values.core)
      for (const [title, one] of runs) all.get(title)!.push(one)
      console.error(
        `  ${name}, round ${round} of ${rounds}: ${[...runs].map(([t, r]) => `${t} ${seconds(r, WHOLE)} s`).join(', ')}`,
      )
    }
    checkResults(all)
    const [first, ...others] = settings
    for (const { title } of others)
      console.log(describe(name, title, all.get(title)!, first!.title, all.get(first!.title)!))
  })
}

/** @throws Error for a folder without a build */
function settingOf(text: string, title: string): Setting {
  const [folder = '', ...options] = text.split(/\s+/).filter(Boolean)
  const main = resolve(folder, relative(ROOT, MAIN))
  if (!existsSync(main))
    throw new Error(`pairs: ${folder} has no ${relative(ROOT, MAIN)}: build it, with "npm run build"`)
  return { title, main, options }
}

/** Runs a guest by all settings at once, in an order that changes from round to round. */
async function atOnce(settings: readonly Setting[], guest: Guest, core: string): Promise<ReadonlyMap<string, Run>> {
  const order = settings.map((setting) => ({ setting, at: Math.random() })).toSorted((a, b) => a.at - b.at)
  const runs = await Promise.all(
    order.map(async ({ setting: { title, main, options } }) => {
      const [program, args] = commandOf('retrap', guest, ['--unit-cache', 'off', ...options])
      const own = args.map((arg) => (arg === MAIN ? main : arg))
      return [title, await runMarked('taskset', ['-c', core, program, ...own], DEADLINE_MS)] as const
    }),
  )
  return new Map(runs)
}

const seconds = (run: Run, name: string): string => run.times.get(name)?.processor.toFixed(2) ?? '?'

/** The line of a setting that is compared with the first. */
function describe(name: string, title: string, own: readonly Run[], peer: string, theirs: readonly Run[]): string {
  const ratios = (mark: string): readonly number[] =>
    own
      .map(({ times }, i) => theirs[i]!.times.get(mark)!.processor / times.get(mark)!.processor)
      .toSorted((a, b) => a - b)
  const text = (values: readonly number[]): string =>
    `${values[values.length >> 1]!.toFixed(3)} (${values[0]!.toFixed(3)} to ${values.at(-1)!.toFixed(3)})`
  return (
    `pairs-${name}: '${title}' ${text(ratios(WHOLE))} x '${peer}', the program alone ${text(ratios(name))} ` +
    `(medians of ${own.length} pairs on one core)`
  )
}
