import { progress } from '@clack/prompts'
import type { OnProgress } from '@retrap/debian'
import { plainOutput } from '../../print-lines.ts'
import { fetchLines } from './fetch-lines.ts'

/** Shows the progress of a fetch; call `stop` when the fetch ends or fails. */
export interface FetchProgress {
  readonly onProgress: OnProgress
  stop(outcome: 'done' | 'failed'): void
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

function progressBar(): FetchProgress {
  let bar: ReturnType<typeof progress> | undefined
  let shown = ''
  let percent = 0
  return {
    onProgress(fraction, what) {
      if (what !== shown) {
        bar?.stop(`Fetched ${shown}`)
        bar = progress({ max: 100, size: BAR_COLUMNS, style: 'heavy', output: process.stderr })
        bar.start(`Fetching ${what}`)
        shown = what
        percent = 0
      }
      const now = Math.floor(fraction * 100)
      if (now > percent) bar?.advance(now - percent, `Fetching ${what}: ${now} %`)
      percent = Math.max(percent, now)
    },
    stop(outcome) {
      if (outcome === 'done') bar?.stop(`Fetched ${shown}`)
      else bar?.error(`Could not fetch ${shown}`)
    },
  }
}

const progressLines = (): FetchProgress => ({
  onProgress: fetchLines((text) => void plainOutput(process.stderr).write(`retrap: ${text}\n`)),
  stop() {},
})
