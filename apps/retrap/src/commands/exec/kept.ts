/** Machines that wait for a job, kept as snapshots in the cache folder. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDirectory } from '@retrap/debian'
import { makeFolder } from '../../host/files/files.ts'
import { ExecError } from './errors.ts'

/** Machines that are kept at most; beyond them, what was used longest ago goes. */
const MOST_KEPT = 8
const EXTENSION = '.snapshot'
const LOCK = '.lock'
const LOOK_MS = 200
/** A party that holds a lock for so long has been given up, whatever its number says. */
const ABANDONED_MS = 600_000

/** The folder of the machines. */
const keptFolder = (): string => join(cacheDirectory(), 'exec')

/** The path of a machine's file, by what all machines like it have in common. */
export function keptPath(parts: readonly unknown[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
  return join(keptFolder(), `${hash}${EXTENSION}`)
}

/**
 * Makes the file of a machine, unless it exists or another process makes it meanwhile.
 *
 * @param make - writes the file, which is there when it is whole
 * @param waits - is called once where another process makes it
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
    // A folder that cannot be written has it all the same.
  }
}

/** Removes a machine that cannot be used. */
export function dropMachine(path: string): void {
  rmSync(path, { force: true })
}

/** Removes what there is no room for. */
export function pruneMachines(): void {
  const folder = keptFolder()
  const names = readdirSync(folder)
  // A process that was killed has left its own.
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
