// Test files that take long are in turn by the commit: `npm test -- --long`, which runs each night, takes all of them.
import { createHash } from 'node:crypto'
import { readDurations } from './durations.ts'
import { sliceNumber } from './slice-number.ts'

/** Of a file that takes more, a run has so many seconds on average: a file of 30 seconds is in one of 10 runs. */
const LONG_SECONDS = 3

/** Files that each run has, however long they take: a PC boots to its prompt, and a browser opens the site. */
const ALWAYS: ReadonlySet<string> = new Set(['apps/retrap/test/system/linux.test.ts', 'apps/web/test/site.test.ts'])

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
  const slice = sliceNumber()
  const start = `${folder}/`
  return Object.entries(readDurations(root))
    .filter(([path, seconds]) => path.startsWith(start) && !ALWAYS.has(path) && !isInTurn(path, seconds, slice))
    .map(([path]) => path.slice(start.length))
}

function isInTurn(path: string, seconds: number, slice: number): boolean {
  const runs = Math.max(1, Math.ceil(seconds / LONG_SECONDS))
  const own = createHash('sha256').update(path).digest().readUInt32BE()
  return (own + slice) % runs === 0
}
