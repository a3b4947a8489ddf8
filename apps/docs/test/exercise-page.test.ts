/** The exercise of a page, done in Chromium by labels: type, ask who wrote, step back, name the line, mend, check. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { createServer } from 'vitepress'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from './support/programs.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: the exercise of a page: ${noBrowser}`)
/** Vite compiles the sources of a package when a page first imports it. */
const LIMIT_MS = 200_000
const PATIENCE = { timeout: 60_000 }
const AXE = readFileSync(createRequire(new URL('../../web/package.json', import.meta.url)).resolve('axe-core'), 'utf8')

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
    page.on('pageerror', (error) => errors.push(String(error)))
    const { port } = server.httpServer!.address() as AddressInfo
    await page.goto(`http://127.0.0.1:${port}/tutorials/backwards.html`)
    await page.waitForSelector('.exercise textarea')
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
    const source = await page.$eval('.exercise textarea', (one) => (one as HTMLTextAreaElement).value)
    const writer = source.split('\n').indexOf('        mov [ecx + name], al') + 1
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
    await press(`Breakpoint at line ${writer + 2}`)
    await press('Back to the last stop')
    await expect.poll(text, PATIENCE).toContain(`In the past, before line ${writer + 2}.`)
    await expect.poll(text, PATIENCE).toMatch(/ecx\s+0x8\b/)
    await press(`Breakpoint at line ${writer + 2}`)
    await press('Now')
    await expect.poll(text, PATIENCE).toMatch(/Now, (?:before line|in the part)/)
    await page.type('.exercise input[type=number]', String(writer))
    await press('This one')
    await expect.poll(text, PATIENCE).toContain('✓ Name the line that writes over lives: done')
    await shot('exercise')
    await page.evaluate(AXE)
    const found = await page.evaluate(async () => {
      const { axe } = globalThis as unknown as {
        axe: { run(within: string): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
      }
      const { violations } = await axe.run('.exercise')
      return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
    })
    expect(found).toEqual([])
    // The mend, as a reader types it.
    await page.$eval(
      '.exercise textarea',
      (one, mended) => {
        const area = one as HTMLTextAreaElement
        area.value = mended
        area.dispatchEvent(new Event('input'))
      },
      source.replace('ja read', 'jae read'),
    )
    await press('Check it')
    await expect.poll(text, PATIENCE).toContain('3 of 3 checks have passed. The kernel is mended.')
    await press('Assemble and start')
    await expect.poll(terminal, PATIENCE).toMatch(/^\s*Name\? $/)
    await type('Alexandria\n')
    await expect.poll(terminal, PATIENCE).toMatch(/Hello, Alexandr\s+Lives: 3\s+Name\? $/)
    await press('Put the source back')
    await page.reload()
    await expect.poll(text, PATIENCE).toContain('✓ A longer name is cut, and costs no life: passed')
    expect(await page.$eval('.exercise textarea', (one) => (one as HTMLTextAreaElement).value)).toBe(source)
    expect(errors).toEqual([])
  })
})
