import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { launch, type Browser, type LaunchOptions } from 'puppeteer-core'
import { PATIENCE_MS } from './patience.ts'

export type { Browser, Page } from 'puppeteer-core'

const run = promisify(execFile)

/** The names that Chromium's builds have, the smallest one first. */
const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
const OPTIONS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync', '--disable-dev-shm-usage'],
  ...['--disable-background-networking', '--disable-component-update'],
]

/** Returns the name of the installed Chromium; undefined if none. */
export async function findChromium(): Promise<string | undefined> {
  for (const name of NAMES) if (await run(name, ['--version']).then(Boolean, () => false)) return name
  return undefined
}

/** Why browser tests are skipped; undefined: they run. */
export const noBrowser: string | undefined =
  (await findChromium()) === undefined ? 'there is no Chromium, and no apt to fetch it with' : undefined

/** Path of a program in PATH. */
export const pathOf = (name: string): string =>
  spawnSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).stdout.trim()

/** Starts a Chromium for interactive tests. @param args - further command-line options */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  const name = await findChromium()
  if (name === undefined) throw new Error('there is no Chromium')
  return launchPatient({ executablePath: pathOf(name), headless: 'shell', args: [...OPTIONS, ...args] })
}

/** Without a UTF-8 locale, as in CI, browsers cannot open files with names that are not ASCII. */
const LOCALE = { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' }

/** Starts a browser that a busy host may slow down, and its pages. */
export async function launchPatient(options: LaunchOptions): Promise<Browser> {
  const browser = await launch({ ...options, timeout: PATIENCE_MS, env: { ...process.env, ...LOCALE } })
  const newPage = browser.newPage.bind(browser)
  browser.newPage = async (...given) => {
    const page = await newPage(...given)
    page.setDefaultTimeout(PATIENCE_MS)
    return page
  }
  return browser
}
