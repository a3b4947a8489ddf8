import { spawnSync } from 'node:child_process'
import { launch, type Browser } from 'puppeteer-core'
import { findChromium } from './chromium.ts'

const OPTIONS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync', '--disable-dev-shm-usage'],
  ...['--disable-background-networking', '--disable-component-update'],
]

/** Why tests with a browser are left out; undefined: they are not. */
export const noBrowser: string | undefined =
  (await findChromium()) === undefined ? 'there is no Chromium, and no apt to fetch it with' : undefined

/** Starts a Chromium that is driven as a person would use it. */
export async function launchBrowser(): Promise<Browser> {
  const name = await findChromium()
  if (name === undefined) throw new Error('there is no Chromium')
  const executablePath = spawnSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).stdout.trim()
  return launch({ executablePath, headless: 'shell', args: OPTIONS })
}
