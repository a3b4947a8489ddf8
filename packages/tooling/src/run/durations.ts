import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Seconds that each test file takes, by its path from the top: what was measured when the file was last written. */
export type Durations = Readonly<Record<string, number>>

/** Files that take less say little about how fast a host is. */
const TELLING_SECONDS = 0.5
/** So many files at least say how fast a host is. */
const TELLING_FILES = 20

const FILE = '.config/test-durations.json'

/** Reads the durations that are kept with the sources; none where there is no such file. */
export function readDurations(root: string): Durations {
  const path = join(root, FILE)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Durations) : {}
}

/** Keeps durations with the sources, in the order of their paths. */
export function writeDurations(root: string, durations: Durations): void {
  const sorted = Object.entries(durations).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const rounded = sorted.map(([path, seconds]) => [path, Math.round(seconds * 10) / 10])
  writeFileSync(join(root, FILE), `${JSON.stringify(Object.fromEntries(rounded), undefined, 2)}\n`)
}

/**
 * Returns by how much the sum of durations has changed, as a fraction; undefined where they have too little in common. Both are
 * seconds of some host: the median of how much longer each file takes now says how much slower this one is.
 */
export function changeOf(before: Durations, now: Durations): number | undefined {
  const ratios = Object.entries(now)
    .filter(([path, seconds]) => seconds > TELLING_SECONDS && (before[path] ?? 0) > TELLING_SECONDS)
    .map(([path, seconds]) => seconds / (before[path] as number))
    .toSorted((a, b) => a - b)
  if (ratios.length < TELLING_FILES) return undefined
  const slowness = ratios[Math.floor(ratios.length / 2)] as number
  return sum(now) / slowness / sum(before) - 1
}

function sum(durations: Durations): number {
  return Object.values(durations).reduce((all, one) => all + one, 0)
}
