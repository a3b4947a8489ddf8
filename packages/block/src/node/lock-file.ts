import { open, readFile, rm } from 'node:fs/promises'
import { kill, pid } from 'node:process'
import { ImageError } from '../index.ts'

/** A file that is ours alone until `release`, or the end of the process. */
export interface FileLock {
  /** Gives it up. */
  release(): Promise<void>
}

const nameOf = (path: string): string => `${path}.retrap-lock`

/**
 * Locks by a file beside the image, which holds the number of our process. One that a killed process has left is removed.
 *
 * @throws ImageError `ERR_LOCKED`, `ERR_OPEN` where the folder cannot be written
 */
export async function lockByFile(path: string): Promise<FileLock> {
  const name = nameOf(path)
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- the second attempt follows from the first
      const file = await open(name, 'wx')
      // oxlint-disable-next-line no-await-in-loop
      await file.writeFile(String(pid))
      // oxlint-disable-next-line no-await-in-loop
      await file.close()
      return { release: () => rm(name, { force: true }) }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
        throw new ImageError('ERR_OPEN', `${name}: the lock file cannot be made: ${String(error)}`, { cause: error })
      }
    }
    // oxlint-disable-next-line no-await-in-loop
    if (await writerByFile(path)) break
    // oxlint-disable-next-line no-await-in-loop
    await rm(name, { force: true })
  }
  throw new ImageError('ERR_LOCKED', `${path}: another machine has it open for writing (${name} says so)`)
}

/** Whether a process that lives has the file locked. */
export async function writerByFile(path: string): Promise<boolean> {
  const text = await readFile(nameOf(path), 'utf8').catch(() => undefined)
  if (text === undefined) return false
  const owner = Number(text)
  // Its process is about to write its number.
  if (!Number.isInteger(owner) || owner <= 0) return true
  try {
    kill(owner, 0)
    return true
  } catch (error) {
    // A process of another user may not be signalled.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
