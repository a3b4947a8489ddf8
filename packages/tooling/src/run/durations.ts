import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Seconds that each test file takes, by its path from the top. */
export type Durations = Readonly<Record<string, number>>

/** The durations at the time when the file was last written. */
export interface KeptDurations {
  /** Of the files of that run, in seconds: the budget. */
  readonly sum: number
  /** Of each of these files, and of files that only earlier runs had. */
  readonly seconds: Durations
}

/** Files that take less say little about how fast a host is. */
const TELLING_SECONDS = 0.5
/** This many files at least say how fast a host is. */
const TELLING_FILES = 20

const FILE = '.config/test-durations.json'

/** Reads the durations that are kept with the sources; none where there is no such file. */
export function readDurations(root: string): KeptDurations {
  const path = join(root, FILE)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as KeptDurations) : { sum: 0, seconds: {} }
}

/** Keeps durations with the sources, in the order of their paths. @param now - of a run, which may have a slice of the files */
export function writeDurations(root: string, now: Durations): void {
  const all = { ...readDurations(root).seconds, ...now }
  const seconds = Object.entries(all)
    .filter(([path]) => existsSync(join(root, path)))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, each]) => [path, rounded(each)])
  const kept: KeptDurations = { sum: rounded(sum(now)), seconds: Object.fromEntries(seconds) as Durations }
  writeFileSync(join(root, FILE), `${JSON.stringify(kept, undefined, 2)}\n`)
}

const rounded = (seconds: number): number => Math.round(seconds * 10) / 10

/**
 * Returns by how much the sum of durations has changed, as a fraction; undefined where they have too little in common. Both are
 * seconds of some host: the median of how much longer each file takes now says how much slower this one is.
 */
export function changeOf(before: KeptDurations, now: Durations): number | undefined {
  const ratios = Object.entries(now)
    .filter(([path, seconds]) => seconds > TELLING_SECONDS && (before.seconds[path] ?? 0) > TELLING_SECONDS)
    .map(([path, seconds]) => seconds / (before.seconds[path] as number))
    .toSorted((a, b) => a - b)
  if (ratios.length < TELLING_FILES) return undefined
  const slowness = ratios[Math.floor(ratios.length / 2)] as number
  return sum(now) / slowness / before.sum - 1
}

function sum(durations: Durations): number {
  return Object.values(durations).reduce((all, one) => all + one, 0)
}
