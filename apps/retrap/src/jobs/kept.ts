/** Machines that wait for a job, kept as snapshots in the cache folder. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDirectory } from '@retrap/debian'
import { makeFolder } from '../host/files/files.ts'
import { ExecError } from './errors.ts'

/** Most kept machines; beyond this number the least recently used is removed. */
const MOST_KEPT = 8
const EXTENSION = '.snapshot'
const LOCK = '.lock'
const LOOK_MS = 200
/** A lock held for this long counts as abandoned, even if a process has its number. */
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
  if (!isThere(path)) writing(() => makeFolder(keptFolder()))
  const lock = `${path}${LOCK}`
  let hasWaited = false
  for (; !isThere(path); await sleep(LOOK_MS)) {
    if (writing(() => tryLock(lock))) {
      try {
        // Another process may have made the file between the look and the lock.
        if (!isThere(path)) await make()
      } finally {
        rmSync(lock, { force: true })
      }
      break
    }
    if (!hasWaited) waits()
    hasWaited = true
    if (isAbandoned(lock)) rmSync(lock, { force: true })
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
  const names = readdirSync(folder)
  // Locks of killed processes are left over.
  for (const lock of names.filter((name) => name.endsWith(LOCK)).map((name) => join(folder, name)))
    if (isAbandoned(lock)) rmSync(lock, { force: true })
  const files = names
    .filter((name) => !name.endsWith(LOCK))
    .map((name) => ({ path: join(folder, name), state: statSync(join(folder, name), { throwIfNoEntry: false }) }))
    .toSorted((a, b) => (b.state?.mtimeMs ?? 0) - (a.state?.mtimeMs ?? 0))
  const whole = files.filter(({ path }) => path.endsWith(EXTENSION))
  const partial = files.filter(
    ({ path, state }) => !path.endsWith(EXTENSION) && Date.now() - (state?.mtimeMs ?? 0) > ABANDONED_MS,
  )
  for (const { path } of [...whole.slice(MOST_KEPT), ...partial]) rmSync(path, { force: true })
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined

function tryLock(path: string): boolean {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, String(process.pid))
    closeSync(file)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** @throws ExecError where the cache folder cannot be written */
function writing<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    const why = `the folder for machines that are kept, ${keptFolder()}, cannot be written: ${error.message}`
    throw new ExecError(125, `${why}; XDG_CACHE_HOME names another place`)
  }
}

/** Whether the process that holds a lock is gone. */
function isAbandoned(path: string): boolean {
  const state = statSync(path, { throwIfNoEntry: false })
  if (state === undefined) return false
  const ageMs = Date.now() - state.mtimeMs
  if (ageMs > ABANDONED_MS) return true
  let holder = ''
  try {
    holder = readFileSync(path, 'utf8')
  } catch {
    return false
  }
  // A file without a number is just being written.
  if (holder === '') return ageMs > LOOK_MS * 10
  try {
    process.kill(Number(holder), 0)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}
