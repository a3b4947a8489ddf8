/** The site in Debian's Firefox, by its own WebDriver BiDi: what a person does first. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { launchFirefox, noFirefox } from '@retrap/tooling/firefox'
import { debianMembers } from '@retrap/tooling/debian'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import { sliceTests } from '@retrap/tooling/slice'
import type { Browser, Page } from 'puppeteer-core'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { greetingDisk } from './support/boot-sector.ts'
import { offeredGuest } from './support/offered-guest.ts'
import { newPage, terminalText } from './support/page.ts'
import { buildSite } from './support/site.ts'
import { tryPlayground, visitorOf } from './support/visitor.ts'
import { readFont, textOnScreen } from './support/text-screen.ts'

const test = sliceTests(4)

if (noFirefox !== undefined) console.warn(`SKIPPED: the site in Firefox: ${noFirefox}`)
const debian = await debianMembers([
  { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin', './usr/share/seabios/vgabios-stdvga.bin'] },
])
const SEABIOS = debian === undefined ? undefined : join(debian[0]!, 'usr/share/seabios')

describe.skipIf(noFirefox !== undefined)('the site in Firefox', () => {
  let browser: Browser
  let server: PageServer
  let plain: PageServer
  let page: Page
  let said: string[]

  beforeAll(async () => {
    const files = await buildSite()
    for (const [name, content] of await offeredGuest()) files.set(name, content)
    files.set('greeting.img', greetingDisk('Hello from a disk. '))
    for (const name of SEABIOS === undefined ? [] : ['bios-256k.bin', 'vgabios-stdvga.bin'])
      files.set(name, readFileSync(join(SEABIOS!, name)))
    server = await servePages(files)
    plain = await servePages(files, { isolated: false })
    browser = await launchFirefox()
  })
  afterAll(async () => {
    await browser?.close()
    server?.close()
    plain?.close()
  })
  afterEach(() => page.close())

  async function open(url = `${server.origin}/`): Promise<void> {
    said = []
    page = await newPage(browser, said)
    await page.goto(url, { waitUntil: 'load' })
  }
  const click = (text: string): Promise<void> => page.locator(`button::-p-text(${text})`).click()
  const terminal = (): Promise<string> => terminalText(page)
  const hasPrompt = (): Promise<void> => expect.poll(terminal).toMatch(/retrap> \s*$/)
  const status = (): Promise<string> =>
    page.evaluate(() => document.querySelector('.status')?.textContent?.trim() ?? '')

  test('the embedded guest starts by one click, is typed to, and powers off', async () => {
    await open()
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
    await click('Start the embedded guest')
    await hasPrompt()
    await page.keyboard.type('echo typed by hand\n')
    await expect.poll(terminal).toContain('\ntyped by hand')
    await page.keyboard.type('off\n')
    await expect.poll(status).toBe('Off The machine has ended: power-off.')
    expect(said).toEqual([])
  })

  test('a system at its prompt is saved, and goes on in another tab when its own is closed', async () => {
    await open()
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/saved here\s*\n\s*retrap> \s*$/)
    await page.keyboard.type('echo one\n')
    await expect.poll(terminal).toMatch(/\none\s*\n\s*retrap> \s*$/)
    await click('Snapshots')
    await click('Save now')
    await page.waitForSelector('button::-p-text(Go back)')
    await page.close()
    await open()
    await page.locator('summary::-p-text(Go on with a machine that you have saved)').click()
    await click('Go on')
    await expect.poll(terminal).toMatch(/\none\s*\n\s*retrap> \s*$/)
    await page.keyboard.type('echo two\n')
    await expect.poll(terminal).toMatch(/\ntwo\s*\n\s*retrap> \s*$/)
    expect(said).toEqual([])
  })

  test.skipIf(SEABIOS === undefined)(
    'a disk at an address is read by ranges; what it prints is on the screen',
    async () => {
      await open(`${server.origin}/#firmware=bios-256k.bin&vgaBios=vgabios-stdvga.bin&disk=greeting.img&memory=32`)
      await page.locator('form button[type=submit].primary').click()
      const font = readFont(join(SEABIOS!, 'vgabios-stdvga.bin'))
      await expect.poll(() => textOnScreen(page, font)).toMatch(/\nHello from a disk\./)
    },
  )

  test('the inspector shows the guest in the middle of an instruction that waits for a slow device', async () => {
    await open()
    await click('Start the embedded guest')
    await hasPrompt()
    await page.setViewport({ width: 1400, height: 900 })
    const panels = (): Promise<string> => page.$eval('.side', (one) => (one as HTMLElement).innerText)
    await click('Devices')
    await expect.poll(panels).toMatch(/vCPU 0 is halted/)
    await page.locator('[aria-label="Delay of serial-3f8"] input[value="3000"]').click()
    await page.evaluate(() => document.querySelector<HTMLElement>('.xterm-helper-textarea')!.focus())
    await page.keyboard.type('echo hi\n')
    await expect.poll(panels).toMatch(/waits for serial-3f8: .*at 0x3f[\da-f]/)
    await click('Inspector')
    await expect.poll(panels).toMatch(/vCPU 0: 64-bit/)
    await click('Reset all')
    await expect.poll(terminal).toContain('\nhi')
    expect(said).toEqual([])
  })

  test('a device of the playground answers the guest, and a mistake is shown at its line', async () => {
    await open()
    await page.setViewport({ width: 1400, height: 900 })
    await click('Start the embedded guest')
    await hasPrompt()
    const { read, mistake } = await tryPlayground(visitorOf(page))
    expect(read).toContain('fed90000  6c6c6548 7266206f 54206d6f')
    expect(mistake).toMatch(/^Line 2: TypeError: /)
    expect(said).toEqual([])
  })

  test('a server that does not isolate is made up for; without a network the site starts its guest', async () => {
    await open(plain.origin)
    await expect.poll(() => page.evaluate(() => crossOriginIsolated).catch(() => false)).toBe(true)
    plain.close()
    await page.goto(plain.origin, { waitUntil: 'load' })
    await click('Start the embedded guest')
    await hasPrompt()
  })
})
