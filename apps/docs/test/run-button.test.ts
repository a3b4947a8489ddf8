/**
 * The button Run of the pages, clicked in Chromium; and the page of figures, which is made by a program too. VitePress serves the pages as they are while they are written: they need
 * no build of the site. One page shows that the button works; `npm test -- --long` clicks all buttons.
 */
import type { AddressInfo } from 'node:net'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { withLong } from '@retrap/tooling/long'
import { createServer } from 'vitepress'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Comparison } from '@retrap/tooling/bench-history'
import { axeFinds } from './support/axe.ts'
import { fileOf, pages, promised, read, root, runsOf } from './support/programs.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: the buttons of the pages: ${noBrowser}`)
/** Vite compiles the sources of a package when a page first imports it. */
const LIMIT_MS = 200_000

/** Its programs need the decoder alone, which has the fewest sources. */
const ALWAYS = 'pages/tutorials/disassembler.md'
const others = pages.filter((page) => page !== ALWAYS && runsOf(page).length > 0)

describe.skipIf(noBrowser !== undefined)('the button Run prints what the program says', () => {
  let browser: Awaited<ReturnType<typeof launchBrowser>>
  let server: Awaited<ReturnType<typeof createServer>>
  let origin = ''

  beforeAll(async () => {
    server = await createServer(root, { port: 0, host: '127.0.0.1' })
    await server.listen()
    origin = `http://127.0.0.1:${(server.httpServer!.address() as AddressInfo).port}`
    browser = await launchBrowser()
  }, LIMIT_MS)
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test.each(withLong([ALWAYS], others))('%s', { timeout: LIMIT_MS }, async (markdown) => {
    const page = await browser.newPage()
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(`${origin}/${markdown.replace(/^pages\//, '').replace(/\.md$/, '.html')}`)
    for (const [i, name] of runsOf(markdown).entries()) {
      // Vue takes over what the server has written; until then a click does nothing.
      const output = await page.waitForFunction(
        (at: number) => {
          const run = document.querySelectorAll('.run')[at]
          if (run?.querySelector('.run-output') === null) run.querySelector<HTMLElement>('.run-main')?.click()
          return run?.querySelector('.run-output.done, .run-output.failed')?.textContent
        },
        { polling: 100, timeout: LIMIT_MS },
        i,
      )
      expect(await output.jsonValue(), name).toBe(promised(read(fileOf(name))))
    }
    expect(errors).toEqual([])
    await page.close()
  })

  test('the page of figures has a line for each comparison', { timeout: LIMIT_MS }, async () => {
    const page = await browser.newPage()
    await page.goto(`${origin}/figures.html`)
    await page.waitForSelector('table polyline')
    const drawn = await page.$$eval('table polyline', (lines) => lines.length)
    const history = JSON.parse(read('figures.json')) as Comparison[]
    expect(drawn).toBe(new Set(history.map(({ bench, peer, what }) => [bench, peer, what].join())).size)
    await page.close()
  })

  test(
    'axe finds nothing on the first page and on one of text, and "who wrote" leads to time travel',
    { timeout: LIMIT_MS },
    async () => {
      const page = await browser.newPage()
      for (const [width, scheme] of [
        [1366, 'light'],
        [390, 'dark'],
      ] as const) {
        await page.setViewport({ width, height: 844 })
        await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
        for (const path of ['guides/time-travel', 'index']) {
          await page.goto(`${origin}/${path}.html`, { waitUntil: 'networkidle2' })
          expect(await axeFinds(page), `${path}, ${width}, ${scheme}`).toEqual([])
        }
      }
      expect(await page.$eval('main', (main) => main.innerText)).toMatch(
        /Who wrote this\?[^]*A device of yours[^]*One line in CI/,
      )
      await page.locator('.VPNavBarSearch button').click()
      await page.locator('.VPLocalSearchBox input').fill('who wrote')
      const first = await page.waitForSelector('.VPLocalSearchBox .result')
      expect(await first!.evaluate((result) => result.textContent)).toContain('Time travel')
      await page.close()
    },
  )
})
