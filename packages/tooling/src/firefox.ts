/** Apart from Chromium's file, so that tests with Chromium alone do not fetch a Firefox. */
import type { Browser } from 'puppeteer-core'
import { launchPatient, pathOf } from './browser.ts'
import { hasProgram } from './skip.ts'

const FIREFOX = 'firefox-esr'

/** Why Firefox tests are skipped; undefined: they run. */
export const noFirefox: string | undefined = hasProgram(FIREFOX)
  ? undefined
  : 'there is no firefox-esr, and no apt to fetch it with'

/** Starts a Firefox, driven through its own WebDriver BiDi. */
export function launchFirefox(): Promise<Browser> {
  return launchPatient({ browser: 'firefox', executablePath: pathOf(FIREFOX), headless: true })
}
