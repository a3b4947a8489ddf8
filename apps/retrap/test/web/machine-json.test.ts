/** The machine of the start page's form as a file: the command line runs it, and the page takes it back. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildGuestImage } from '@retrap/embedded-guest'
import { type Browser, launchBrowser, noBrowser, type Page } from '@retrap/tooling/browser'
import { sliceTests } from '@retrap/tooling/slice'
import { Ajv } from 'ajv'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { serveSite, siteFolder, type SiteServer } from '../../src/commands/web/server.ts'
import { runFake } from '../support/run-fake.ts'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(2)

const JSON_AREA = '::-p-aria(This machine as JSON[role="textbox"])'
if (noBrowser !== undefined) console.warn(`SKIPPED: machines of the page as JSON: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('a machine of the page as JSON', () => {
  const folder = temporaryFolder('machine-json')
  const guest = join(folder, 'guest.bin')
  const file = join(folder, 'machine.json')
  let site: SiteServer
  let browser: Browser

  beforeAll(async () => {
    writeFileSync(guest, buildGuestImage())
    site = await serveSite(siteFolder(), 0)
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    site?.close()
  })

  async function readSchema(): Promise<{ readonly properties: object }> {
    const { stdout } = await runFake('run', '--schema')
    return JSON.parse(stdout) as { readonly properties: object }
  }

  async function open(): Promise<Page> {
    const page = await browser.newPage()
    await page.goto(site.url, { waitUntil: 'load' })
    await page.locator('::-p-aria(Options: memory, processors, board, network)').click()
    await page.waitForSelector('select[name=memory]')
    return page
  }
  const choose = async (page: Page, ...paths: readonly string[]): Promise<void> => {
    const input = (await page.$('.drop input[type=file]')) as unknown as { uploadFile(...all: string[]): Promise<void> }
    await input.uploadFile(...paths)
  }
  const read = (page: Page): Promise<string> =>
    page.$eval(JSON_AREA, (area) => (area as unknown as { value: string }).value)
  const names = (page: Page): Promise<string> =>
    page.$$eval('[aria-label="Chosen images"] .name', (rows) => rows.map((row) => row.textContent).join(' '))
  const terminal = (page: Page): Promise<string> =>
    page.$$eval('.xterm-rows > div', (rows) => rows.map((row) => row.textContent).join('\n'))

  test('is in the schema, runs by the command line, and in a page that gets it with its files', async () => {
    const accepts = new Ajv({ allowUnionTypes: true }).compile(await readSchema())
    const page = await open()
    await choose(page, guest)
    await expect.poll(() => names(page)).toBe('guest.bin')
    await page.select('select[name=memory]', '64')
    await page.select('select[name=board]', 'q35')
    await page.select('select[name=vga]', 'std')
    await page.locator('::-p-aria(This machine as JSON, for the command line)').click()
    await expect.poll(() => read(page)).toContain('guest.bin')
    for (const [network, said] of [
      ['fetch', '"kind": "user"'],
      ['tabs', '"hubid": 0'],
      ['none', '"hubid": 1'],
      ['off', '"usb-tablet"'],
    ] as const) {
      await page.select('select[name=network]', network)
      if (network === 'off') await page.select('select[name=tablet]', 'tablet')
      await expect.poll(() => read(page)).toContain(said)
      const text = await read(page)
      expect([accepts(JSON.parse(text)), accepts.errors]).toEqual([true, null])
      writeFileSync(file, text)
      const { code, created } = await runFake('run', file)
      expect(code).toBe(0)
      expect(created[0]).toMatchObject({ memoryBytes: 64 << 20, cpus: 1, machine: 'q35', vga: 'std' })
    }
    const ran = await runRetrap(['run', file], { input: 'echo by the command line\noff\n', deadlineMs: 60_000 })
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('\nby the command line') as string })
    await page.close()

    const other = await open()
    await choose(other, file)
    const state = (): Promise<string> =>
      other.$$eval('[role=status]', (all) => all.map((one) => one.textContent).join('\n'))
    await expect.poll(state).toContain('It names files: drop guest.bin here, too.')
    await choose(other, guest)
    await expect.poll(() => names(other)).toBe('guest.bin')
    expect(await other.$eval('select[name=board]', (one) => (one as unknown as { value: string }).value)).toBe('q35')
    await other.locator('::-p-aria(Start[role="button"])').click()
    await expect.poll(() => terminal(other)).toMatch(/retrap> \s*$/)
    await other.close()
  }, 180_000)

  test("has options of the command line alone, with values that it takes: all of the form's", async () => {
    const schema = await readSchema()
    const accepts = new Ajv({ allowUnionTypes: true }).compile(schema)
    const page = await open()
    await choose(page, guest)
    await page.locator('::-p-aria(This machine as JSON, for the command line)').click()
    for (const [field, option, written] of [
      ['memory', 'memory', (value: string) => `${value}M`],
      ['cpus', 'cpus', Number],
      ['board', 'machine', String],
      ['vga', 'vga', (value: string) => (value === 'auto' ? undefined : value)],
    ] as const) {
      const select = `select[name=${field}]`
      const values = await page.$$eval(`${select} option`, (all) =>
        all.map((one) => (one as unknown as { value: string }).value),
      )
      expect(values.length).toBeGreaterThan(2)
      for (const value of values) {
        await page.select(select, value)
        const machine = async () => JSON.parse(await read(page)) as Readonly<Record<string, unknown>>
        await expect.poll(async () => (await machine())[option]).toBe(written(value))
        expect([accepts(await machine()), accepts.errors], `${field} ${value}`).toEqual([true, null])
      }
    }
    await page.locator(JSON_AREA).fill('{ "memroy": "1G" }')
    await page.locator('::-p-aria(Use this)').click()
    const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(alert).toMatch(/^memroy: .*; it has memory,/)
    const [, names = ''] = (await alert()).split('; it has ')
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(names.split(', ')))
    await page.close()
  }, 180_000)

  test('is pasted, changed by hand, and what is wrong is said', async () => {
    const page = await open()
    await page.evaluate(`{
      const clipboardData = new DataTransfer()
      clipboardData.setData('text/plain', '{ "memory": "1G", "firmware": "http://127.0.0.1:9/x" }')
      document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))
    }`)
    const memory = (): Promise<string> =>
      page.$eval('select[name=memory]', (one) => (one as unknown as { value: string }).value)
    await expect.poll(memory).toBe('1024')
    expect(new URL(page.url()).hash).toContain('memory=1024')
    await page.locator('::-p-aria(This machine as JSON, for the command line)').click()
    await expect.poll(() => read(page)).toContain('"1024M"')
    await page.locator(JSON_AREA).fill('{ "memroy": "1G" }')
    await page.locator('::-p-aria(Use this)').click()
    const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(alert).toMatch(/^memroy: a machine in a page has no such option; it has memory,/)
    expect(await memory()).toBe('1024')
    await page.close()
  })
})
