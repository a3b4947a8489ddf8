/** A Chromium to run pages in. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Chromium {
  readonly program: string
  readonly environment: NodeJS.ProcessEnv
}

const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']

/** The Chromium that is installed; undefined if there is none. */
export async function findChromium(): Promise<Chromium | undefined> {
  for (const program of NAMES) {
    const found = await run(program, ['--version']).then(Boolean, () => false)
    if (found) return { program, environment: process.env }
  }
  return undefined
}
