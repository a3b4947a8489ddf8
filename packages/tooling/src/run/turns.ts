// Long test files take turns by commit: `npm test -- --long`, which runs each night, takes all of them.
import { readDurations } from './durations.ts'
import { sliceNumber } from './slice-number.ts'

/**
 * The time of a run's test files, without files that each run has, by the durations that are kept: two workers take half of it. It
 * does not grow with the tests: the more there are, the rarer a long file is.
 */
const RUN_SECONDS = 340

/** Successive multiples, modulo 1, are spread most evenly, so that successive slices have different files. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2

/** Files that each run has, however long they take: a PC boots to its prompt, and browsers of three engines open the site. */
const ALWAYS: ReadonlySet<string> = new Set([
  'apps/retrap/test/system/linux.test.ts',
  'apps/web/test/site.test.ts',
  'apps/web/test/webkit.test.ts',
])

/** The most seconds of a run that each file may have for all of them to take `total` seconds. A shorter file is in each run. */
function shareOf(files: readonly (readonly [string, number])[], total: number): number {
  let left = total
  for (const [i, [, each]] of files.toSorted(([, a], [, b]) => a - b).entries()) {
    const share = left / (files.length - i)
    if (share <= each) return share
    left -= each
  }
  return Infinity
}

/** Whether all test files are taken: by a long run, by one that tries mutations, and by one that is asked for files by name. */
function takesAll(): boolean {
  const { env, argv } = process
  return (
    env['RETRAP_TEST_LONG'] === '1' ||
    env['RETRAP_EVERY_TEST'] === '1' ||
    argv.some((argument) => argument.endsWith('.test.ts'))
  )
}

/**
 * Returns the test files of a folder that this run leaves out, by the durations that are kept with the sources: a file of N times
 * the share that each file has of a run is in one of N runs. Files without a known duration are in each run.
 *
 * @param root - the workspace's folder
 * @param folder - of a package, as a path from `root`: `packages/paging`
 * @param runSeconds - seconds that all files of a run may take
 * @returns paths from the package's folder
 */
export function filesInOtherRuns(root: string, folder: string, runSeconds = RUN_SECONDS): string[] {
  if (takesAll()) return []
  const start = `${folder}/`
  const others = Object.entries(readDurations(root)).filter(([path]) => !ALWAYS.has(path))
  const share = shareOf(others, runSeconds)
  const long = others.filter(([, seconds]) => seconds > share)
  const taken = new Set(inTurn(long, (seconds) => share / seconds))
  return long.flatMap(([path]) => (path.startsWith(start) && !taken.has(path) ? path.slice(start.length) : []))
}

/**
 * Systematic sampling: files lie on a line, from the longest to the shortest, each as wide as the part of runs that have it. A
 * run takes the files in which a comb of width 1 has its teeth. So of neighbours, which are of about one length, each run has
 * as many as any other, and runs hardly differ in time.
 *
 * @param widthOf - returns the part of runs that have a file, from its seconds
 */
export function inTurn(files: readonly (readonly [string, number])[], widthOf: (seconds: number) => number): string[] {
  let at = (sliceNumber() * GOLDEN_RATIO) % 1
  const longestFirst = files.toSorted(([, a], [, b]) => b - a)
  return longestFirst.flatMap(([path, seconds]) => {
    at += widthOf(seconds)
    if (at < 1) return []
    at -= 1
    return path
  })
}
