/** The debugger's first session in the start page's Debian: what each of its sentences speaks of is in sight, and marked. */
import { type Browser, launchBrowser, type Page } from '@retrap/tooling/browser'
import { withLong } from '@retrap/tooling/long'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveSite, siteFolder } from '../../src/commands/web/server.ts'
import { noDebian, offeredDebian, terminalText } from '../support/offered-debian.ts'

if (noDebian !== undefined) console.warn(`SKIPPED: the debugger's first session: ${noDebian}`)

const COMMAND = "echo '*' > /proc/sys/kernel/hostname"
const MARKED_BYTE = '[aria-label="Memory"] [aria-current="location"]'
const MARKED_ROW = '[aria-label="Code"] [aria-current="step"]'
/** Returns the text of an element of which each line is in the window, and nothing lies over it or cuts it off; null otherwise. */
const IN_SIGHT = `(selector) => {
  const one = document.querySelector(selector)
  if (one === null) return null
  const range = document.createRange()
  range.selectNodeContents(one)
  const lines = [...range.getClientRects(), ...one.getClientRects()].filter(({ width, height }) => width > 4 && height > 4)
  const isSeen = ({ left, top, height }) =>
    [4, height / 2, height - 4].every((y) => one.contains(document.elementFromPoint(left + 2, top + y)))
  return lines.length > 0 && lines.every(isSeen) ? one.textContent || one.ariaLabel : null
}`
const WALKS = withLong<['amd64' | 'arm64', number, number]>(
  [['amd64', 1366, 768]],
  [
    ['amd64', 844, 390],
    ['amd64', 360, 740],
    ['arm64', 1024, 768],
    ['arm64', 390, 844],
  ],
)

describe.skipIf(noDebian !== undefined)("the debugger's first session", () => {
  let browser: Browser
  beforeAll(async () => void (browser = await launchBrowser()))
  afterAll(() => browser?.close())

  const inSight = (page: Page, selector: string): Promise<string | null> =>
    page.evaluate(`(${IN_SIGHT})(${JSON.stringify(selector)})`) as Promise<string | null>

  test.each(WALKS)('on %s at %i × %i', { timeout: 300_000 }, async (architecture, width, height) => {
    const site = await serveSite(siteFolder(), 0, await offeredDebian(architecture))
    const page = await browser.newPage()
    await page.setViewport({ width, height })
    await page.goto(site.url, { waitUntil: 'load' })
    await page.evaluate('localStorage.clear()')
    await page.locator(`::-p-aria(Start Debian ${architecture})`).click()
    await expect.poll(() => terminalText(page)).toMatch(/ # \s*$/)
    const see = async (selector: string, expected: RegExp): Promise<void> => {
      await expect.poll(() => inSight(page, selector), { message: selector }).toMatch(expected)
    }
    /** Waits for a sentence of the tour. @returns the address that it names */
    const says = async (expected: RegExp): Promise<string> => {
      await see('.tour > span', expected)
      const folder = process.env['RETRAP_PICTURES']
      if (folder !== undefined) {
        const step = await page.$eval('.tour strong', (one) => one.textContent[0])
        await new Promise((resolve) => setTimeout(resolve, 700))
        await page.screenshot({ path: `${folder}/${architecture}-${width}x${height}-${step}.png` })
      }
      return /0x([\da-f]+)/.exec((await inSight(page, '.tour > span'))!)?.[1] ?? ''
    }
    const press = async (name: string): Promise<void> => {
      await see('.tour .primary', new RegExp(`^${name}$`))
      await page.locator('.tour .primary').click()
    }
    // A phone has them in a sheet.
    if (width < 960) await page.locator('.opener').click()
    await says(/Record this machine/)
    await press('Record it')
    expect(await says(/the host name: echo '\*' >/)).toBe('')
    await press('Type it')
    await says(/has that name, an asterisk, in its memory/)
    // A narrow terminal breaks the line.
    await expect.poll(async () => (await terminalText(page)).replaceAll('\n', '')).toContain(COMMAND)
    await press('Find it')
    const byte = await says(/marked in Memory.* is the asterisk, hexadecimal 2a/)
    await see(MARKED_BYTE, /^2a$/)
    expect(await page.$eval(MARKED_BYTE, (one) => BigInt(one.getAttribute('data-ask')!).toString(16))).toBe(byte)
    await press('Ask')
    await says(/The host name: (it was pid \d+, sh, in |the instruction at 0x).*Go back to the instruction/)
    await press('Go there')
    const instruction = await says(/marked in Code.* is about to write.*Step on .*Step back .*Now/)
    await see(MARKED_ROW, new RegExp(`^0*${instruction} `))
    for (const name of ['Step on', 'Step back', 'Now']) await see(`.signs [aria-label="${name}"]`, /./)
    // It is the instruction that writes the byte, the first of 'retrap' before.
    expect(await page.$eval(MARKED_BYTE, (one) => one.textContent)).toBe('72')
    await page.locator('.signs [aria-label="Step on"]').click()
    await expect.poll(() => page.$eval(MARKED_BYTE, (one) => one.textContent)).toBe('2a')
    await page.close()
    site.close()
  })
})
