/** The site without a network, and on a server that does not isolate its pages. */
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Browser } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newPage, terminalText } from './support/page.ts'
import { buildSite } from './support/site.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: the site offline: ${noBrowser}`)
const INSPECTOR = '#panel-inspector'

describe.skipIf(noBrowser !== undefined)('the site on a plain server', () => {
  let browser: Browser
  let server: PageServer
  let files: Map<string, Uint8Array | string>
  let loads = 0

  beforeAll(async () => {
    files = await buildSite()
    server = await servePages(files, {
      isolated: false,
      answer: ({ url }) => {
        if (url === '/') loads++
        return false
      },
    })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    server?.close()
  })

  test('is loaded again once, is isolated then, and starts its guest when the server is gone', async () => {
    const said: string[] = []
    const page = await newPage(browser, said)
    let navigations = 0
    page.on('framenavigated', () => navigations++)
    await page.goto(server.origin, { waitUntil: 'load' })
    const isIsolated = (): Promise<boolean> => page.evaluate(() => crossOriginIsolated).catch(() => false)
    await expect.poll(isIsolated).toBe(true)
    expect([navigations, loads]).toEqual([2, 1])
    // The list of systems is the server's as long as there is a server.
    const systems = (): Promise<string> => page.evaluate(async () => (await fetch('systems/systems.json')).text())
    files.set('systems/systems.json', '[ ]')
    expect(await systems()).toBe('[ ]')
    // Firmware is kept when it has been needed, in the version that was needed last.
    const firmware = (): Promise<string> => page.evaluate(async () => (await fetch('firmware/bios.bin')).text())
    for (const content of ['an old BIOS', 'a BIOS']) {
      files.set('firmware/bios.bin', content)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await firmware()).toBe(content)
    }
    server.close()
    await page.goto(server.origin, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start the embedded guest)').click()
    await expect.poll(() => terminalText(page)).toMatch(/retrap> \s*$/)
    expect(await systems()).toBe('[]')
    expect(await firmware()).toBe('a BIOS')
    // Also what is loaded when it is used is there.
    await page.locator('::-p-aria(Inspector[role="tab"])').click()
    await expect.poll(() => page.$eval(INSPECTOR, (one) => (one as HTMLElement).innerText)).toContain('vCPU 0: 64-bit')
    // The machine has an entry of the history, for the button Back.
    expect(navigations).toBe(4)
    expect(said).toEqual([])
  })
})
