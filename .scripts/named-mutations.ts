// The changes of `.config/named-mutations.json`: mistakes that somebody thought of, and the tests that notice them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.ts'

/** A row of the file. */
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

/** Reads all rows. */
export function namedMutations(): readonly NamedMutation[] {
  return JSON.parse(readFileSync(join(root, '.config/named-mutations.json'), 'utf8')) as readonly NamedMutation[]
}

/** Says what is wrong with a row: its text does not stand in its file exactly once; undefined for a row that is good. */
export function staleness({ what, file, before }: NamedMutation): string | undefined {
  const count = readFileSync(join(root, file), 'utf8').split(before).length - 1
  return count === 1 ? undefined : `${what}: ${file} has ${count} times ${before}`
}

/** Returns what is wrong with the rows. */
export function checkNamedMutations(): string[] {
  return namedMutations()
    .map((row) => staleness(row))
    .filter((problem) => problem !== undefined)
}
