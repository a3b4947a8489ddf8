import { join } from 'node:path'
import { progress } from '@clack/prompts'
import { DebianError, fetchMembers, type OnProgress } from '@retrap/debian'
import { CliError } from '@retrap/linux-guest/errors'
import { plainOutput } from '../../print-lines.ts'
import { fetchLines } from '@retrap/linux-guest/host/files'
import { readBytes } from '@retrap/linux-guest/host/files'

/** Shows the progress of a fetch; call `stop` when the fetch ends or fails. */
export interface FetchProgress {
  readonly onProgress: OnProgress
  stop(outcome: 'done' | 'failed'): void
}

/** Makes a fetch, and shows its progress while it lasts. */
export async function fetchShown<T>(fetch: (shown: Pick<FetchProgress, 'onProgress'>) => Promise<T>): Promise<T> {
  const shown = showFetchProgress()
  try {
    const result = await fetch(shown)
    shown.stop('done')
    return result
  } catch (error) {
    shown.stop('failed')
    throw error
  }
}

/**
 * Reads a file of a package of Debian's, from the cache or fetched.
 *
 * @param together - files of its folder that are fetched with it
 * @param instead - advice where there is none
 * @throws CliError `ERR_FETCH`
 */
export async function readDebianFile(
  archive: string,
  folder: string,
  name: string,
  instead: string,
  together: readonly string[] = [name],
): Promise<Uint8Array> {
  try {
    const members = together.map((file) => `./${folder}/${file}`)
    const [root = ''] = await fetchShown((shown) => fetchMembers([{ package: archive, members }], shown))
    return await readBytes(join(root, folder, name))
  } catch (error) {
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', `${error.message}; ${instead}`)
  }
}

const BAR_COLUMNS = 20
/** The columns that the bar and a long package name need to stay on one line. */
const LEAST_COLUMNS = 76

/** Shows a progress bar on a terminal, and elsewhere one line per fetched file. Nothing appears before the first report. */
export function showFetchProgress(): FetchProgress {
  // The bar reads the keyboard to keep it from scribbling; a pipe's content belongs to the guest.
  const terminal = process.stderr.isTTY && process.stdin.isTTY && process.stderr.columns >= LEAST_COLUMNS
  return terminal ? progressBar() : progressLines()
}

/** Sets the exit code of a process that its user stops: the bar reads Ctrl-C, and exits with 0. */
const stopped = (): void => void (process.exitCode = 130)

function progressBar(): FetchProgress {
  let bar: ReturnType<typeof progress> | undefined
  let shown = ''
  let percent = 0
  return {
    onProgress(fraction, what) {
      if (what !== shown) {
        bar?.stop(`Fetched ${shown}`)
        if (bar === undefined) process.once('exit', stopped)
        const ends = { output: process.stderr, onCancel: () => process.exit() }
        bar = progress({ max: 100, size: BAR_COLUMNS, style: 'heavy', ...ends })
        bar.start(`Fetching ${what}`)
        shown = what
        percent = 0
      }
      const now = Math.floor(fraction * 100)
      if (now > percent) bar?.advance(now - percent, `Fetching ${what}: ${now} %`)
      percent = Math.max(percent, now)
    },
    stop(outcome) {
      process.off('exit', stopped)
      if (outcome === 'done') bar?.stop(`Fetched ${shown}`)
      else bar?.error(`Could not fetch ${shown}`)
    },
  }
}

const progressLines = (): FetchProgress => ({
  onProgress: fetchLines((text) => void plainOutput(process.stderr).write(`retrap: ${text}\n`)),
  stop() {},
})
