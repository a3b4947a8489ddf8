// Where the time of a run has gone, and whether it is more than the sources say.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { changeOf, type Durations, readDurations } from '../../packages/tooling/src/run/durations.ts'
import type { FileResult } from '../../packages/tooling/src/run/results.ts'
import { type Member, root } from '../workspace.ts'

const LONGEST = 20
/** A change of the sum that is worth a word. */
const NOTICED = 0.05
/** What the whole of `npm test` may take on two cores. */
export const LIMIT_MINUTES = 12

/**
 * The results that say how long a file takes in a usual run: of its own project, and not where all its tests were skipped or
 * in other slices. Without that a file of a minute counted nothing, and each run had it.
 */
export const telling = (files: readonly FileResult[]): FileResult[] =>
  files.filter(({ passed, project }) => passed > 0 && !project.endsWith(' compiled'))

/** Seconds by test file; a file that runs in two projects takes the sum. */
export function durationsOf(files: readonly FileResult[]): Durations {
  const sums: Record<string, number> = {}
  for (const { path, seconds } of files) sums[path] = (sums[path] ?? 0) + seconds
  return sums
}

/** Writes each file's seconds for whoever looks, and prints the longest files and the sum of each package. */
export function printDurations(files: readonly FileResult[], selected: readonly Member[]): void {
  const durations = durationsOf(files)
  mkdirSync(join(root, 'node_modules/.retrap'), { recursive: true })
  writeFileSync(join(root, 'node_modules/.retrap/durations.json'), JSON.stringify(durations, undefined, 2))
  const line = (seconds: number, name: string): string => `${seconds.toFixed(1).padStart(8)} s  ${name}`
  console.log(`\nthe ${LONGEST} longest test files (all: node_modules/.retrap/durations.json):`)
  const longest = Object.entries(durations).toSorted(([, a], [, b]) => b - a)
  for (const [path, seconds] of longest.slice(0, LONGEST)) console.log(line(seconds, path))
  console.log('\nseconds of test files by package:')
  const sums = selected.map(({ path }): [string, number] => {
    const own = Object.entries(durations).filter(([file]) => file.startsWith(`${path}/`))
    return [path, sum(own.map(([, seconds]) => seconds))]
  })
  for (const [path, seconds] of sums.toSorted(([, a], [, b]) => b - a))
    if (seconds > 0) console.log(line(seconds, path))
  console.log(line(sum(Object.values(durations)), 'all'))
}

/** What to tell where the test files of a run have become longer, or shorter, by over 5 %. */
export function budgetNote(files: readonly FileResult[]): string | undefined {
  const [kept, now] = [readDurations(root), durationsOf(telling(files))]
  const change = changeOf(kept, now)
  if (change === undefined || Math.abs(change) <= NOTICED) return undefined
  const unknown = Object.keys(now).filter((path) => kept[path] === undefined)
  const inEach = unknown.length === 0 ? '' : `${unknown.length} of them, in each run, are not in it; `
  const figure = `${inEach}test files take ${Math.abs(change * 100).toFixed(0)} % ${change > 0 ? 'more' : 'less'} than .config/test-durations.json says`
  return change > 0
    ? `${figure}: move as much out of npm test as this change adds, or say in the commit why not; -- --keep-durations keeps the new durations`
    : `${figure}: -- --keep-durations keeps the new durations`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}
