/** The site as a visitor meets it, who goes by the words on the page: Debian, a slow disk, back in time, a fork. */
import { type Browser, launchBrowser, type Page } from '@retrap/tooling/browser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveSite, siteFolder, type SiteServer } from '../../src/commands/web/server.ts'
import { noDebian, offeredDebian, terminalText } from '../support/offered-debian.ts'

if (noDebian !== undefined) console.warn(`SKIPPED: a visitor of the site: ${noDebian}`)

describe.skipIf(noDebian !== undefined)('a visitor', () => {
  let browser: Browser
  let site: SiteServer
  let page: Page
  const said: string[] = []

  beforeAll(async () => {
    site = await serveSite(siteFolder(), 0, await offeredDebian())
    browser = await launchBrowser()
    page = await browser.newPage()
    page.on('console', (message) => said.push(message.text()))
    page.on('pageerror', (error) => said.push(String(error)))
    await page.setViewport({ width: 1400, height: 900 })
    await page.goto(site.url, { waitUntil: 'load' })
  })
  afterAll(async () => {
    await browser?.close()
    site?.close()
  })

  /** Clicks what has such a word on it. @param within - what names the part of the page */
  const click = (word: string, within = 'body'): Promise<void> =>
    page.locator(`${within} ::-p-xpath(.//*[normalize-space(text())="${word}"])`).click()
  const text = (): Promise<string> => page.evaluate('document.body.innerText') as Promise<string>

  test('starts Debian, keeps a moment, slows the disk, reads where the wait is, goes back, and forks', async () => {
    await click('Start Debian amd64')
    await expect.poll(() => terminalText(page)).toMatch(/\/ # \s*$/)
    await click('Snapshots')
    await click('Save now')
    await page.waitForSelector('::-p-text(Go back)')
    await click('Devices')
    await click('300', '::-p-xpath(//li[contains(., "contents of disks")])')
    await expect.poll(text).toContain('contents of disks +300 ms')
    // Read-ahead asks for the next part before this one is there: there is always a request in flight.
    await click('Type in the terminal')
    await page.keyboard.type('md5sum /mnt/vmlinuz\n')
    await expect.poll(text).toMatch(/disk0 \d+ ms/)
    await click('Snapshots')
    await click('Go back')
    await expect.poll(() => terminalText(page)).not.toContain('md5sum /mnt/vmlinuz')
    await click('Reset all')
    await expect.poll(text).not.toContain('contents of disks +300 ms')
    // What was saved has a shell that waits.
    await click('Type in the terminal')
    await page.keyboard.type('echo here $((6 * 7))\n')
    await expect.poll(() => terminalText(page)).toContain('here 42')
    const opened = new Promise<Page>((resolve) => page.once('popup', (other) => resolve(other!)))
    await click('Fork')
    const fork = await opened
    await expect.poll(() => terminalText(fork)).toMatch(/\/ # \s*$/)
    expect(await terminalText(fork)).not.toContain('here 42')
    expect(said).toEqual([])
  })
})
