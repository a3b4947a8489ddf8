// Debian with X in a page, by one click: the time to its first picture, and the differing frames a second while its window is moved
// with the mouse. The limits are those of a host with two processors that has nothing else to do.
// @programs: chromium-headless-shell
import { setTimeout as sleep } from 'node:timers/promises'
import { launchBrowser, type Page } from '@retrap/tooling/browser'
import type { Soak } from '@retrap/tooling/soak'
import { createMachine } from '../../src/machine-main.ts'
import { desktopPart } from '../../src/commands/web/desktop.ts'
import { SYSTEMS_LIST, systemsList } from '../../src/commands/web/debian-system.ts'
import { serveSite, siteFolder, type SiteServer } from '../../src/commands/web/server.ts'

const MOST_MS = 8000
const LEAST_FRAMES = 15
const MOVE_MS = 5000
/** The guest has caught up with the time for which it was a file; it has taken the mouse's button. */
const SETTLE_MS = 2000
/** The screen, and a place in the title of the window. */
const [WIDTH, HEIGHT] = [800, 600]
const TITLE = { x: 200, y: 42 }
/** A picture that is smaller, as a text: of whole pixels each would take as long as a frame. */
const LOOK = `(() => {
  const small = (globalThis.small ??= new OffscreenCanvas(80, 60).getContext('2d', { willReadFrequently: true }))
  const screen = document.querySelector('canvas')
  if (!(screen?.width > 0)) return ''
  small.drawImage(screen, 0, 0, 80, 60)
  const { data } = small.getImageData(0, 0, 80, 60)
  return data.some((byte, i) => i % 4 < 3 && byte > 10) ? data.join() : ''
})()`
/** Counts pictures that differ, frame by frame. */
const COUNT = `(() => {
  let last = ''
  globalThis.differing = 0
  const look = () => {
    const now = ${LOOK}
    if (now !== last) globalThis.differing++
    last = now
    requestAnimationFrame(look)
  }
  look()
})()`

let server: SiteServer
let browser: Awaited<ReturnType<typeof launchBrowser>>
const found: string[] = []

async function framesOf(page: Page): Promise<number> {
  const { x, y, width, height } = (await (await page.waitForSelector('canvas'))!.boundingBox())!
  const moveTo = (atX: number, atY: number): Promise<void> =>
    page.mouse.move(x + (atX * width) / WIDTH, y + (atY * height) / HEIGHT)
  await moveTo(TITLE.x, TITLE.y)
  await sleep(SETTLE_MS)
  await page.mouse.down()
  await sleep(SETTLE_MS)
  await page.evaluate(COUNT)
  const begun = performance.now()
  for (let i = 0; performance.now() - begun < MOVE_MS; i++)
    await moveTo(TITLE.x + 100 + 100 * Math.sin(i / 12), TITLE.y + 40 + 40 * Math.cos(i / 12))
  const frames = Number(await page.evaluate('globalThis.differing'))
  await page.mouse.up()
  return (frames * 1000) / (performance.now() - begun)
}

export const soak: Soak = {
  name: 'desktop',
  count: 5,
  async setup() {
    const stderr = { write: (text: string | Uint8Array) => process.stderr.write(text), on() {} }
    const { part, offered } = await desktopPart({ stderr, createMachine }, false)
    const files = new Map([...part.files, [SYSTEMS_LIST, systemsList(offered)] as const])
    server = await serveSite(siteFolder(), 0, files)
    browser = await launchBrowser()
  },
  async step() {
    const context = await browser.createBrowserContext()
    try {
      const page = await context.newPage()
      await page.setViewport({ width: 1366, height: 768 })
      await page.goto(server.url, { waitUntil: 'networkidle0' })
      const begun = performance.now()
      await page.locator('::-p-aria(Start Debian with X)').click()
      await page.waitForFunction(`${LOOK} !== ''`, { polling: 'raf' })
      const ms = Math.round(performance.now() - begun)
      const frames = Math.round(await framesOf(page))
      found.push(`${ms} ms, ${frames} frames/s`)
      return ms > MOST_MS || frames < LEAST_FRAMES ? found.at(-1) : undefined
    } finally {
      await context.close()
    }
  },
  async teardown() {
    await browser?.close()
    server?.close()
  },
  summary: () => found.join('\n'),
}
