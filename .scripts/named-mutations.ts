// The changes that `.config` names: mistakes that somebody thought of, with the tests that notice them
// (`named-mutations.json`), and changes that change nothing (`equivalent-mutations.json`).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.ts'

/** A row of `named-mutations.json`. */
export interface NamedMutation {
  /** The mistake. */
  readonly what: string
  /** Path of the source from the top. */
  readonly file: string
  /** What stands there exactly once. */
  readonly before: string
  readonly after: string
  /** Folders and files of tests, from the root. The next is run where one notices nothing. */
  readonly tests: readonly string[]
}

/** A row of `equivalent-mutations.json`: a line that may be changed, and why that changes nothing. */
export interface EquivalentMutation {
  /** Path of the source from the top. */
  readonly file: string
  /** The line, without the spaces around it. */
  readonly before: string
  readonly after: string
  readonly why: string
}

function rowsOf<Row>(name: string): readonly Row[] {
  return JSON.parse(readFileSync(join(root, '.config', name), 'utf8')) as readonly Row[]
}

/** Reads the mistakes. */
export const namedMutations = (): readonly NamedMutation[] => rowsOf('named-mutations.json')

/** Reads the changes that change nothing. */
export const equivalentMutations = (): readonly EquivalentMutation[] => rowsOf('equivalent-mutations.json')

/** Says what is wrong with a row: its text does not stand in its file exactly once; undefined for a row that is good. */
export function staleness({ what, file, before }: NamedMutation): string | undefined {
  const count = readFileSync(join(root, file), 'utf8').split(before).length - 1
  return count === 1 ? undefined : `${what}: ${file} has ${count} times ${before}`
}

/** Returns what is wrong with the rows of both files. */
export function checkNamedMutations(): string[] {
  const stale = namedMutations()
    .map((row) => staleness(row))
    .filter((problem) => problem !== undefined)
  const gone = equivalentMutations().filter(({ file, before }) => {
    const path = join(root, file)
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
    return !lines.some((line) => line.trim() === before)
  })
  return [...stale, ...gone.map(({ file, before }) => `equivalent-mutations.json: ${file} has no line ${before}`)]
}
