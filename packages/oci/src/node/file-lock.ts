import { randomUUID } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { codeOf, touch } from './local-files.ts'

const POLL_MS = 20
/** Period at which a process renews its lock. */
const RENEWED_MS = 5000
/** Age at which a lock counts as left behind: of another host, and of a process here, which may be stopped. */
const [AWAY_MS, STOPPED_MS] = [60_000, 600_000]

/**
 * Does work that processes do one after another, by a file that exists while one does. A lock that a killed process has left is removed.
 *
 * @param path - of the file, whose folder exists; its name ends with `lock`
 * @param options - `signal` ends the wait for the lock; `waits` is called once if another process has the lock
 * @throws the reason of an aborted signal; errors of `node:fs`, and of the work
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  options: { readonly signal?: AbortSignal | undefined; readonly waits?: () => void } = {},
): Promise<T> {
  const mine = `${hostname()} ${process.pid} ${randomUUID()}`
  options.signal?.throwIfAborted()
  let { waits } = options
  while (!(await create(path, mine))) {
    const left = await abandoned(path)
    // One process at a time removes a lock: a slow one would remove the lock that another has taken meanwhile.
    if (left !== undefined) await withFileLock(`${path}.lock`, () => removeLock(path, left), { signal: options.signal })
    else {
      waits?.()
      waits = undefined
      await pause(POLL_MS)
    }
    options.signal?.throwIfAborted()
  }
  const renewal = setInterval(() => void touch(path), RENEWED_MS)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await removeLock(path, mine)
  }
}

/** Does work unless another process has the lock. */
export async function tryFileLock(path: string, work: () => Promise<void>): Promise<void> {
  const held = new Error('another process has the lock')
  const waits = (): void => {
    throw held
  }
  try {
    await withFileLock(path, work, { waits })
  } catch (error) {
    // A full disk has no room for a lock that no running process has.
    if (['ENOSPC', 'EDQUOT'].includes(codeOf(error))) await work()
    else if (error !== held) throw error
  }
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    // A full disk may have room for a name alone.
    if ((error as NodeJS.ErrnoException).syscall === 'write') await rm(path, { force: true })
    throw error
  }
}

/** Removes a lock that still has its text. */
async function removeLock(path: string, text: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) === text) await rm(path, { force: true })
}

/** Returns the text of a lock whose process has ended; undefined for the lock of a running process, or none. */
async function abandoned(path: string): Promise<string | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    const [host, pid] = text.split(' ')
    const isHere = host === hostname()
    if (Date.now() - mtimeMs > (isHere ? STOPPED_MS : AWAY_MS)) return text
    try {
      if (isHere) process.kill(Number(pid), 0)
    } catch (error) {
      // Any other error: a process of another user lives.
      if (codeOf(error) === 'ESRCH') return text
    }
  } catch {
    // The lock is gone.
  }
  return undefined
}
