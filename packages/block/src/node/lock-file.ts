import { open, readFile, realpath, rm, stat } from 'node:fs/promises'
import { kill, pid } from 'node:process'
import { ImageError } from '../index.ts'

/** A file that is ours alone until `release`, or the end of the process. */
export interface FileLock {
  /** Gives it up. */
  release(): Promise<void>
}

/** A symbolic link has the lock of its file. */
const nameOf = async (path: string): Promise<string> => `${await realpath(path).catch(() => path)}.retrap-lock`

/** A process writes its number at once. A lock file that stays empty for longer is of a process that was killed. */
const EMPTY_MS = 10_000

/**
 * Locks by a file beside the image, which holds the number of our process. One that a killed process has left is removed.
 *
 * @throws ImageError `ERR_LOCKED`, `ERR_OPEN` where the folder cannot be written
 */
export async function lockByFile(path: string): Promise<FileLock> {
  const name = await nameOf(path)
  if ((await create(name, String(pid))) || ((await removeStale(name)) && (await create(name, String(pid))))) {
    return { release: () => rm(name, { force: true }) }
  }
  throw new ImageError('ERR_LOCKED', `${path}: another machine has it open for writing (${name} says so)`)
}

/** Whether a process that lives has the file locked. */
export async function writerByFile(path: string): Promise<boolean> {
  return isHeld(await nameOf(path))
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
 * Removes a lock file whose process has ended. A second file lets one process at a time do so: otherwise a process that
 * is late could remove the lock that another one has taken meanwhile.
 *
 * @returns whether there was one to remove
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

/** @returns false where there is such a file. @throws ImageError `ERR_OPEN` */
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
