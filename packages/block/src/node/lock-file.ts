import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, realpath, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { kill, pid } from 'node:process'
import { ImageError } from '../index.ts'

/** A file that is ours, alone or with other readers, until `release`, or the end of the process. */
export interface FileLock {
  release(): Promise<void>
}

/** A symbolic link has the lock of its file. */
const nameOf = async (path: string): Promise<string> => `${await realpath(path).catch(() => path)}.retrap-lock`

/** A process writes its number at once. A lock file that stays empty for longer is of a process that was killed. */
const EMPTY_MS = 10_000

/** A writer has the file. */
export const locked = (path: string): ImageError =>
  new ImageError('ERR_LOCKED', `${path}: another machine has it open for writing; end that one, or copy the image`)

/** Readers have the file. */
export const readElsewhere = (path: string): ImageError => {
  const what = 'another machine reads it, or an image above it'
  return new ImageError('ERR_LOCKED', `${path}: ${what}; end that one, or open this one without writing to it`)
}

/**
 * Locks by a file beside the image, which holds the number of our process. A lock file that a killed process has left is removed.
 *
 * @throws ImageError `ERR_LOCKED`, `ERR_OPEN` where the folder cannot be written
 */
export async function lockByFile(path: string): Promise<FileLock> {
  const name = await nameOf(path)
  if (!(await create(name, String(pid))) && !((await removeStale(name)) && (await create(name, String(pid)))))
    throw locked(path)
  const lock = { release: () => rm(name, { force: true }) }
  if (!(await hasReader(name))) return lock
  await lock.release()
  throw readElsewhere(path)
}

/**
 * Locks an image for reading by a second file beside it. In a read-only folder no lock is made, as no writer is expected.
 *
 * @throws ImageError `ERR_LOCKED`
 */
export async function shareByFile(path: string): Promise<FileLock> {
  const name = await nameOf(path)
  const own = `${name}${READER}${randomBytes(8).toString('hex')}`
  await create(own, String(pid)).catch(() => false)
  const lock = { release: () => rm(own, { force: true }) }
  // Remove leftovers of killed readers here, because a writer may never come.
  await hasReader(name)
  if (!(await isHeld(name))) return lock
  await lock.release()
  throw locked(path)
}

const READER = '-reader-'

/**
 * Whether a process that lives reads the file. Lock files of killed processes are removed: no later process takes such a name.
 */
async function hasReader(lock: string): Promise<boolean> {
  const folder = dirname(lock)
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(basename(lock) + READER))
  const held = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name)
      if (await isHeld(path)) return true
      await rm(path, { force: true })
      return false
    }),
  )
  return held.includes(true)
}

async function isHeld(name: string): Promise<boolean> {
  const text = await readFile(name, 'utf8').catch(() => undefined)
  if (text === undefined) return false
  const owner = Number(text)
  if (!Number.isInteger(owner) || owner <= 0) return !(await isOlder(name, EMPTY_MS))
  try {
    kill(owner, 0)
    return true
  } catch (error) {
    // A process of another user may not be signalled.
    return codeOf(error) === 'EPERM'
  }
}

async function isOlder(name: string, ageMs: number): Promise<boolean> {
  const state = await stat(name).catch(() => undefined)
  return state !== undefined && Date.now() - state.mtimeMs > ageMs
}

/**
 * Removes a lock file whose process has ended. A second lock serializes this: otherwise a slow process could remove a
 * lock that another one has taken meanwhile.
 *
 * @returns whether a lock file was removed
 */
async function removeStale(name: string): Promise<boolean> {
  const guard = `${name}-removal`
  if (!(await create(guard, ''))) {
    if (await isOlder(guard, EMPTY_MS)) throw new ImageError('ERR_LOCKED', `${guard}: a process left it; delete it`)
    return false
  }
  try {
    if (await isHeld(name)) return false
    await rm(name, { force: true })
    return true
  } finally {
    await rm(guard, { force: true })
  }
}

/** @returns false if the file exists. @throws ImageError `ERR_OPEN` */
async function create(name: string, text: string): Promise<boolean> {
  try {
    const file = await open(name, 'wx')
    try {
      await file.writeFile(text)
    } finally {
      await file.close()
    }
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw new ImageError('ERR_OPEN', `${name}: the lock file cannot be made: ${String(error)}`, { cause: error })
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined)
