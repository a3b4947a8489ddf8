import { spawnSync } from 'node:child_process'
import { launch, type Browser, type LaunchOptions } from 'puppeteer-core'
import { findChromium } from './chromium.ts'
import { PATIENCE_MS } from './patience.ts'
import { hasProgram } from './skip.ts'

const OPTIONS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync', '--disable-dev-shm-usage'],
  ...['--disable-background-networking', '--disable-component-update'],
]

/** Why tests with a browser are left out; undefined: they are not. */
export const noBrowser: string | undefined =
  (await findChromium()) === undefined ? 'there is no Chromium, and no apt to fetch it with' : undefined

const FIREFOX = 'firefox-esr'

/** Why tests with Firefox are left out; undefined: they are not. */
export const noFirefox: string | undefined = hasProgram(FIREFOX)
  ? undefined
  : 'there is no firefox-esr, and no apt to fetch it with'

/** Starts a Firefox, driven through its own WebDriver BiDi. */
export function launchFirefox(): Promise<Browser> {
  return launchPatient({ browser: 'firefox', executablePath: pathOf(FIREFOX), headless: true })
}

const pathOf = (name: string): string =>
  spawnSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).stdout.trim()

/** Starts a Chromium that is driven as a person would use it. */
export async function launchBrowser(): Promise<Browser> {
  const name = await findChromium()
  if (name === undefined) throw new Error('there is no Chromium')
  return launchPatient({ executablePath: pathOf(name), headless: 'shell', args: OPTIONS })
}

/** Without a UTF-8 locale, as in CI, browsers cannot open files with names that are not ASCII. */
const LOCALE = { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' }

/** Starts a browser that a busy host may slow down, and its pages. */
async function launchPatient(options: LaunchOptions): Promise<Browser> {
  const browser = await launch({ ...options, timeout: PATIENCE_MS, env: { ...process.env, ...LOCALE } })
  const newPage = browser.newPage.bind(browser)
  browser.newPage = async (...given) => {
    const page = await newPage(...given)
    page.setDefaultTimeout(PATIENCE_MS)
    return page
  }
  return browser
}
