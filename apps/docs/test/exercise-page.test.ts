/** The exercise of a page, done in Chromium by labels: type, ask who wrote, step back, name the line, mend, check. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { createServer } from 'vitepress'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from './support/programs.ts'
import { axeFinds } from './support/axe.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: the exercise of a page: ${noBrowser}`)
/** Vite compiles the sources of a package when a page first imports it. */
const LIMIT_MS = 200_000
const PATIENCE = { timeout: 60_000 }
const EDITOR = '.exercise ::-p-aria(Source of the kernel[role="textbox"])'
const SOURCE = readFileSync(new URL('../.vitepress/theme/exercise/kernel.asm', import.meta.url), 'utf8')

describe.skipIf(noBrowser !== undefined)('the exercise', () => {
  let browser: Awaited<ReturnType<typeof launchBrowser>>
  let server: Awaited<ReturnType<typeof createServer>>
  let page: Awaited<ReturnType<typeof browser.newPage>>
  const errors: string[] = []

  beforeAll(async () => {
    server = await createServer(root, { port: 0, host: '127.0.0.1' })
    await server.listen()
    browser = await launchBrowser()
    page = await browser.newPage()
    await page.setViewport({ width: 1000, height: 1200 })
    page.on('pageerror', (error) => errors.push(String(error)))
    const { port } = server.httpServer!.address() as AddressInfo
    await page.goto(`http://127.0.0.1:${port}/tutorials/backwards.html`)
    await page.waitForSelector(EDITOR)
  }, LIMIT_MS)
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  const press = (label: string): Promise<void> =>
    page.locator(`.exercise ::-p-aria(${label}[role="button"])`).setTimeout(PATIENCE.timeout).click()
  const text = (): Promise<string> => page.$eval('.exercise', (one) => (one as HTMLElement).innerText)
  const terminal = (): Promise<string> =>
    page.$eval('retrap-machine', (one) => one.shadowRoot?.querySelector('pre')?.textContent ?? '')
  /** Scrolls to the source: the editor draws lines that are in the window. */
  const look = (): Promise<void> =>
    page.$eval('.exercise .cm-content', (one) => one.scrollIntoView({ block: 'center' }))
  const source = async (): Promise<string> => {
    await look()
    return page.$$eval('.exercise .cm-line', (lines) => lines.map((line) => line.textContent).join('\n'))
  }
  /** Puts the cursor at the start of a line, by keys. */
  const goTo = async (line: number): Promise<void> => {
    await page.focus(EDITOR)
    await page.keyboard.down('Control')
    await page.keyboard.press('Home')
    await page.keyboard.up('Control')
    for (let i = 1; i < line; i++) await page.keyboard.press('ArrowDown')
  }
  /** The line that has a class, and what is below it. */
  const lineWith = async (name: string): Promise<readonly (string | null | undefined)[]> => {
    await look()
    return page.$eval(`.exercise .${name}`, (one) => [one.textContent, one.nextElementSibling?.textContent])
  }
  const isPressed = (label: string): Promise<string | null> =>
    page.$eval(`.exercise ::-p-aria(${label}[role="button"])`, (one) => one.getAttribute('aria-pressed'))
  const shot = async (name: string): Promise<void> => {
    const folder = process.env['RETRAP_SCREENSHOTS']
    if (folder !== undefined)
      await page.screenshot({ path: `${folder}/${name}.png` as `${string}.png`, fullPage: true })
  }
  const type = async (keys: string): Promise<void> => {
    await page.locator('retrap-machine').click()
    await page.evaluate(() => document.querySelector('retrap-machine')!.shadowRoot!.querySelector('pre')!.focus())
    await page.keyboard.type(keys)
  }

  test('is done by labels, keeps its progress, and axe finds nothing in it', { timeout: LIMIT_MS }, async () => {
    await expect.poll(source, PATIENCE).toBe(SOURCE)
    const lines = SOURCE.split('\n')
    const writer = lines.indexOf('        mov [ecx + name], al') + 1
    // Vue takes over what the server has written; until then a click does nothing.
    await expect.poll(async () => (await press('Check it'), text()), PATIENCE).toContain('2 of 3 checks have passed.')
    expect(await text()).toContain('failed A longer name is cut, and costs no life: expected "Hello, Alexandr\\n"')
    await press('Assemble and start')
    await expect.poll(terminal, PATIENCE).toMatch(/Name\? $/)
    await type('Ada\n')
    await expect.poll(terminal, PATIENCE).toMatch(/Lives: 3\s+Name\? $/)
    await type('Alexandria\n')
    await expect.poll(terminal, PATIENCE).toMatch(/Lives: i\s+Name\? $/)
    await press('Who wrote lives?')
    await expect.poll(text, PATIENCE).toContain(`Line ${writer} wrote it last: mov [ecx + name], al.`)
    await expect.poll(text, PATIENCE).toMatch(/ecx\s+0x8\b[^]*name\s+A l e x a n d r\s+lives\s+3/)
    await press('Step back')
    await expect.poll(text, PATIENCE).toContain(`In the past, before line ${writer - 1}.`)
    await expect.poll(() => lineWith('exercise-next'), PATIENCE).toEqual(lines.slice(writer - 2, writer))
    // A breakpoint by its key, and its end by a click beside the line.
    const stop = `Breakpoint at line ${writer + 2}`
    await goTo(writer + 2)
    await page.keyboard.press('F9')
    await expect.poll(() => isPressed(stop), PATIENCE).toBe('true')
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe(stop)
    await press('Back to the last stop')
    await expect.poll(text, PATIENCE).toContain(`In the past, before line ${writer + 2}.`)
    await expect.poll(text, PATIENCE).toMatch(/ecx\s+0x8\b/)
    await look()
    await page.locator(`.exercise .cm-lineNumbers ::-p-text(${writer + 2})`).click()
    await expect.poll(() => isPressed(stop), PATIENCE).toBe('false')
    await press('Now')
    await expect.poll(text, PATIENCE).toMatch(/Now, (?:before line|in the part)/)
    await page.type('.exercise input[type=number]', String(writer))
    await press('This one')
    await expect.poll(text, PATIENCE).toContain('✓ Name the line that writes over lives: done')
    await shot('exercise')
    expect(await axeFinds(page, '.exercise')).toEqual([])
    // The mend, as a reader types it, with a slip first.
    await goTo(lines.indexOf('        ja read') + 1)
    for (const _ of '        ja') await page.keyboard.press('ArrowRight')
    await page.keyboard.type('ez')
    await press('Check it')
    const wrong = ['        jaez read', 'jaez is no instruction that is known here']
    await expect.poll(() => lineWith('exercise-wrong-line'), PATIENCE).toEqual(wrong)
    await page.focus(EDITOR)
    await page.keyboard.press('Backspace')
    await press('Check it')
    await expect.poll(text, PATIENCE).toContain('3 of 3 checks have passed. The kernel is mended.')
    await press('Assemble and start')
    await expect.poll(terminal, PATIENCE).toMatch(/^\s*Name\? $/)
    await type('Alexandria\n')
    await expect.poll(terminal, PATIENCE).toMatch(/Hello, Alexandr\s+Lives: 3\s+Name\? $/)
    await press('Put the source back')
    await page.reload()
    await expect.poll(text, PATIENCE).toContain('✓ A longer name is cut, and costs no life: passed')
    await expect.poll(source, PATIENCE).toBe(SOURCE)
    expect(errors).toEqual([])
  })
})
