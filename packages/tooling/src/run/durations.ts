import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Seconds that each test file takes, by its path from the top. */
export type Durations = Readonly<Record<string, number>>

/** Files that take less say little about how fast a host is. */
const TELLING_SECONDS = 0.5
/** This many files at least say how fast a host is. */
const TELLING_FILES = 20

const FILE = '.config/test-durations.json'

/** Reads the recorded durations; empty without a file. */
export function readDurations(root: string): Durations {
  const path = join(root, FILE)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Durations) : {}
}

/** Keeps durations with the sources, in the order of their paths. @param now - of a run, which may have a part of the files */
export function writeDurations(root: string, now: Durations): void {
  const seconds = Object.entries({ ...readDurations(root), ...now })
    .filter(([path]) => existsSync(join(root, path)))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, each]) => [path, Math.round(each * 10) / 10])
  writeFileSync(join(root, FILE), `${JSON.stringify(Object.fromEntries(seconds), undefined, 2)}\n`)
}

/**
 * Returns the increase of the test files' durations, as a fraction; undefined if too few are known. New files count in full.
 * Durations come from different hosts: the median ratio of known files corrects for the hosts' speeds.
 *
 * @param now - of a run, which may have a part of the files
 */
export function changeOf(before: Durations, now: Durations): number | undefined {
  const files = Object.keys(now)
  const ratios = files
    .filter((path) => (now[path] ?? 0) > TELLING_SECONDS && (before[path] ?? 0) > TELLING_SECONDS)
    .map((path) => (now[path] as number) / (before[path] as number))
    .toSorted((a, b) => a - b)
  if (ratios.length < TELLING_FILES) return undefined
  const slowness = ratios[Math.floor(ratios.length / 2)] as number
  const took = sum(files.map((path) => before[path] ?? 0))
  return sum(Object.values(now)) / slowness / took - 1
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}
