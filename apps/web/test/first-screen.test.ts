/** The first things that a stranger sees. */
import { beforeAll, expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'

const LIST = 'systems/systems.json'
const DEBIAN = {
  title: 'Debian amd64',
  description: "Debian's kernel with busybox, at its prompt.",
  bytes: 18 << 20,
  options: { memoryBytes: 256 << 20 },
}
const SIZES = [
  [1366, 768],
  [1280, 720],
  [1024, 768],
  [844, 390],
  [390, 844],
  [360, 740],
] as const

describeSite('the first screen', (site) => {
  beforeAll(() => void site.files.set(LIST, JSON.stringify([DEBIAN, { ...DEBIAN, title: 'Debian arm64' }])))

  test.each(SIZES)('has the button that starts Debian in sight at %i × %i, with its size', async (width, height) => {
    const page = await site.browser.newPage()
    await page.setViewport({ width, height })
    await page.goto(site.server.origin, { waitUntil: 'load' })
    const button = await page.waitForSelector('.main .primary')
    const { y = 0, height: own = 0 } = (await button?.boundingBox()) ?? {}
    expect(await button?.evaluate((one) => one.textContent)).toBe('Start Debian amd64')
    expect(y + own).toBeLessThanOrEqual(height)
    expect(await page.$eval('.main', (one) => one.textContent)).toContain('18.0 MiB')
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    expect(wide).toBeLessThanOrEqual(width)
    const picture = process.env['RETRAP_PICTURES']
    if (picture !== undefined) await page.screenshot({ path: `${picture}/${width}x${height}.png` })
    await page.close()
  })

  test('says that Debian still boots, and offers it once it is there', async () => {
    site.files.set(LIST, JSON.stringify([{ ...DEBIAN, boots: true }]))
    const page = await site.browser.newPage()
    await page.goto(site.server.origin, { waitUntil: 'load' })
    await page.waitForSelector('.main .primary:disabled')
    expect(await page.$eval('.main', (one) => one.textContent)).toContain('It boots')
    site.files.set(LIST, JSON.stringify([DEBIAN]))
    await page.waitForSelector('.main .primary:enabled')
  })
})
