/** Machines that wait for a job, kept as snapshots in the cache folder. */
import { createHash } from 'node:crypto'
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { makeFolder } from '../host/files.ts'
import { ExecError } from './errors.ts'

/** Most kept machines; beyond this number the least recently used is removed. */
const MOST_KEPT = 16
const EXTENSION = '.snapshot'
/** Age at which an incomplete file, or a lock, counts as left over by a killed process. */
const ABANDONED_MS = 600_000

const keptFolder = (): string => join(cacheDirectory(), 'exec')

/** Returns the path of a machine's file, by the properties that equal machines share. */
export function keptPath(parts: readonly unknown[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
  return join(keptFolder(), `${hash}${EXTENSION}`)
}

/**
 * Makes the file of a machine, unless the file exists or another process is making it.
 *
 * @param make - writes the file, which appears when it is complete
 * @param waits - called once if another process is making the file
 */
export async function keepMachine(path: string, make: () => Promise<void>, waits: () => void): Promise<void> {
  if (!isThere(path)) {
    const { withFileLock } = await import('@retrap/oci/node')
    // Another process may have made the file between the look and the lock.
    const work = async (): Promise<void> => (isThere(path) ? undefined : make())
    try {
      makeFolder(keptFolder())
      await withFileLock(`${path}.lock`, work, { waits })
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error
      const why = `the folder for machines that are kept, ${keptFolder()}, cannot be written: ${error.message}`
      throw new ExecError(125, `${why}; XDG_CACHE_HOME names another place`)
    }
  }
  const now = Date.now() / 1000
  try {
    utimesSync(path, now, now)
  } catch {
    // A file in a read-only folder cannot be marked as used, but can be read.
  }
}

/** Removes a machine that cannot be used. */
export function dropMachine(path: string): void {
  rmSync(path, { force: true })
}

/** Removes the least recently used machines beyond the limit. */
export function pruneMachines(): void {
  const folder = keptFolder()
  const files = readdirSync(folder)
    .map((name) => ({ path: join(folder, name), state: statSync(join(folder, name), { throwIfNoEntry: false }) }))
    .toSorted((a, b) => (b.state?.mtimeMs ?? 0) - (a.state?.mtimeMs ?? 0))
  const whole = files.filter(({ path }) => path.endsWith(EXTENSION))
  const partial = files.filter(
    ({ path, state }) => !path.endsWith(EXTENSION) && Date.now() - (state?.mtimeMs ?? 0) > ABANDONED_MS,
  )
  for (const { path } of [...whole.slice(MOST_KEPT), ...partial]) rmSync(path, { force: true })
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined
