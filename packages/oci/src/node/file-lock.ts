import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { codeOf } from './local-files.ts'

const POLL_MS = 20
/** Period at which a process renews its lock, and age of a lock whose process has ended. */
const RENEWED_MS = 5000
const ABANDONED_MS = 60_000

/**
 * Does work that processes do one after another, by a file that exists while one does.
 *
 * @param path - of the file, whose folder exists
 * @throws the reason of an aborted signal; errors of `node:fs`
 */
export async function withFileLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const mine = `${hostname()} ${process.pid}`
  for (;;) {
    signal.throwIfAborted()
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after another
      await writeFile(path, mine, { flag: 'wx' })
      break
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    // oxlint-disable-next-line no-await-in-loop -- as above
    if (await isAbandoned(path)) await rm(path, { force: true })
    // oxlint-disable-next-line no-await-in-loop -- as above
    else await pause(POLL_MS)
  }
  const renewal = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), RENEWED_MS)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await rm(path, { force: true })
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    if (Date.now() - mtimeMs > ABANDONED_MS) return true
    const [host, pid] = text.split(' ')
    if (host === hostname() && pid !== undefined) process.kill(Number(pid), 0)
    return false
  } catch (error) {
    // ESRCH: its process has ended. A lock that is gone is free.
    return codeOf(error) === 'ESRCH'
  }
}
