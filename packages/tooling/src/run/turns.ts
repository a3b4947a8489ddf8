// Test files that take long are in turn by the commit: `npm test -- --long`, which runs each night, takes all of them.
import { readDurations } from './durations.ts'
import { sliceNumber } from './slice-number.ts'

/** Of a file that takes more, a run has so many seconds on average: a file of 15 seconds is in one of 10 runs. */
const LONG_SECONDS = 1.5

/** Successive multiples of it, modulo 1, lie as far apart as any numbers do: successive slices have other files. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2

/** Files that each run has, however long they take: a PC boots to its prompt, and browsers of three engines open the site. */
const ALWAYS: ReadonlySet<string> = new Set([
  'apps/retrap/test/system/linux.test.ts',
  'apps/web/test/site.test.ts',
  'apps/web/test/webkit.test.ts',
])

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
 * Returns the test files of a folder that this run leaves out, by the durations that are kept with the sources. Files that
 * are not known there are in each run.
 *
 * @param root - the workspace's folder
 * @param folder - of a package, as a path from there: `packages/paging`
 * @returns paths from the package's folder
 */
export function filesInOtherRuns(root: string, folder: string): string[] {
  if (takesAll()) return []
  const start = `${folder}/`
  return leftOut(root)
    .filter((path) => path.startsWith(start))
    .map((path) => path.slice(start.length))
}

/**
 * Systematic sampling: files lie on a line, from the longest to the shortest, each as wide as the part of runs that have it. A
 * run takes the files in which a comb of width 1 has its teeth. So of neighbours, which are of about one length, each run has
 * as many as any other, and runs hardly differ in time.
 */
function leftOut(root: string): string[] {
  let at = (sliceNumber() * GOLDEN_RATIO) % 1
  const files = Object.entries(readDurations(root)).filter(([path]) => !ALWAYS.has(path))
  return files
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, seconds]) => {
      if (seconds <= LONG_SECONDS) return false
      at += LONG_SECONDS / seconds
      if (at < 1) return true
      at -= 1
      return false
    })
    .map(([path]) => path)
}
