/** The playground: a device written in the page, used from the guest's shell, and kept away from the page. */
import { servePages } from '@retrap/tooling/page-server'
import { sliceTests } from '@retrap/tooling/slice'
import type { Page } from 'puppeteer-core'
import { beforeAll, expect } from 'vitest'
import { compile } from '../src/playground/sandbox.ts'
import { describeSite } from './support/describe-site.ts'
import { newPage, replaceText, terminalText } from './support/page.ts'

const test = sliceTests(3)

const device = (body: string): string =>
  `import { defineDevice } from '@retrap/device'\nexport default defineDevice({\n  name: 'mine', stateless: true, mmio: { base: 0xfed9_1000, size: 0x1000 },\n${body}\n})\n`

describeSite('the playground', (site) => {
  let page: Page
  const said: string[] = []

  beforeAll(async () => {
    page = await newPage(site.browser, said)
    await page.goto(site.server.origin, { waitUntil: 'load' })
    await click('Start the embedded guest')
    await page.locator('::-p-aria(Playground[role="tab"])').click()
    await page.waitForSelector('.editor')
  })

  const click = (name: string): Promise<void> => page.locator(`::-p-aria(${name})`).click()
  const terminal = (): Promise<string> => terminalText(page)
  const panel = (): Promise<string> =>
    page.evaluate(() => document.querySelector<HTMLElement>('#panel-playground')!.innerText)
  const shell = async (command: string): Promise<void> => {
    await page.focus('.xterm-helper-textarea')
    await page.keyboard.type(`${command}\n`)
  }
  const write = (code: string): Promise<void> => replaceText(page, '.editor textarea', code)

  test('the example is attached, read by the guest, and taken out', async () => {
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    await click('Attach')
    await expect.poll(panel).toContain('Attached: greeter.')
    await shell('memory fed90000')
    // "Hello from T" as words.
    await expect.poll(terminal).toContain('fed90000  6c6c6548 7266206f 54206d6f')
    await expect.poll(panel).toMatch(/read \d+: \d bytes at 0/)
    await click('Detach')
    await expect.poll(panel).not.toContain('Attached')
    await shell('memory fed90000')
    await expect.poll(terminal).toContain('fed90000  ffffffff ffffffff')
  })

  test('mistakes are shown at their lines: of the language, of the code, and of a handler', async () => {
    await write(device('  read( { return 1 },'))
    await click('Attach')
    await expect.poll(panel).toMatch(/Line 4: /)
    await write('const wrong: number = 1\n\nnull.x\n')
    await click('Attach')
    await expect.poll(panel).toMatch(/Line 3: TypeError/)
    expect(await page.$$eval('.editor .at', (all) => all.map((one) => one.textContent))).toEqual(['3'])
    await write(device("  read(offset: number): number {\n    throw new Error('out of order')\n  },"))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await expect.poll(panel).toContain('Line 5: Error: out of order')
    // The machine lives.
    await shell('echo alive')
    await expect.poll(terminal).toContain('\nalive')
  })

  test('a model that fails is taken out, which is said until another one is attached', async () => {
    const alert = (): Promise<string> =>
      page.evaluate(() => document.querySelector('.alert [role=alert]')?.textContent ?? '')
    await write(device("  read(): number {\n    throw new Error('out of order')\n  },"))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await expect.poll(alert).toMatch(/^device mine is taken out, as it has failed/)
    await expect.poll(panel).not.toContain('Attached: mine.')
    await write(device('  read: () => 1,'))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await expect.poll(alert).toBe('')
    await click('Detach')
  })

  test('a device that never answers is taken out, and the guest goes on', async () => {
    await write(device('  read(): number {\n    for (;;);\n  },'))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await click('Detach')
    await shell('echo further')
    await expect.poll(terminal).toContain('\nfurther')
  })

  test('a device that says too much is taken out, and the page and the guest go on', async () => {
    await write(device("  read(): number {\n    for (;;) console.log('x')\n  },"))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await expect.poll(panel).toContain('says more than 1000 things a second, and was taken out')
    expect(await panel()).not.toContain('Attached')
    await shell('echo quiet now')
    await expect.poll(terminal).toContain('\nquiet now')
  })

  test('a document whose script is blocked says so', async () => {
    const policy = "script-src 'self' 'wasm-unsafe-eval'"
    const strict = await servePages(site.files, { headers: { 'content-security-policy': policy } })
    const other = await newPage(site.browser)
    try {
      await other.goto(strict.origin, { waitUntil: 'load' })
      for (const name of ['Start the embedded guest', 'Playground[role="tab"]', 'Attach'])
        await other.locator(`::-p-aria(${name})`).click()
      const alert = (): Promise<string> =>
        other.$eval('#panel-playground [role=alert]', (one) => one.textContent).catch(() => '')
      await expect.poll(alert).toMatch(/^The document that devices run in does not start: /)
    } finally {
      await other.close()
      strict.close()
    }
  })

  test("neither the page's storage nor its document is within the device's reach", async () => {
    await page.evaluate(() => localStorage.setItem('secret', 'of the page'))
    await write(
      device(
        `  async read(): Promise<number> {
    const attempts = { indexedDB: () => indexedDB.open('x'), caches: () => caches.keys(), files: () => navigator.storage.getDirectory() }
    for (const [name, attempt] of Object.entries(attempts)) {
      try { await attempt(); console.log(name + ' reached') } catch (error) { console.log(name + ': ' + error.name) }
    }
    try { new Function('') ; console.log('eval reached') } catch (error) { console.log('eval: ' + error.name) }
    console.log('origin ' + self.origin)
    return 1
  },`,
      ),
    )
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await expect.poll(panel).toContain('origin null')
    const text = await panel()
    for (const name of ['indexedDB', 'caches', 'files', 'eval']) {
      expect(text).toMatch(new RegExp(`${name}: \\w*Error`))
      expect(text).not.toContain(`${name} reached`)
    }
    const frame = page.frames().find((one) => one.url() === 'about:srcdoc')!
    const reached = await frame.evaluate(() => {
      const attempts = [() => localStorage.getItem('secret'), () => document.cookie, () => parent.document.title]
      return attempts.map((attempt) => {
        try {
          return String(attempt())
        } catch (error) {
          return (error as Error).name
        }
      })
    })
    expect(reached).toEqual(['SecurityError', 'SecurityError', 'SecurityError'])
    expect(said).toEqual([])
  })

  test('devices come and go while the machine is recorded, and it goes back over them', async () => {
    const debug = (): Promise<string> =>
      page.evaluate(() => document.querySelector<HTMLElement>('.instrument')!.innerText)
    // Of the tests before: a machine with devices is not recorded from an instant on.
    if ((await panel()).includes('Attached')) await click('Detach')
    await expect.poll(panel).not.toContain('Attached')
    await click('Debugger[role="tab"]')
    await click('Record')
    await expect.poll(debug).toMatch(/^Now/m)
    await click('Playground[role="tab"]')
    for (const answer of [0x1234, 0x5678]) {
      await write(device(`  async read(): Promise<number> { await null; return ${answer} },`))
      await click('Attach')
      await expect.poll(panel).toContain('Attached: mine.')
      await shell('memory fed91000')
      await expect.poll(terminal).toContain(`fed91000  0000${answer.toString(16)}`)
    }
    // One that never answers, of which the guest waits for an answer.
    await write(device('  read(): number {\n    for (;;);\n  },'))
    await click('Attach')
    await expect.poll(panel).toContain('Attached: mine.')
    await shell('memory fed91000')
    await click('Detach')
    await shell('echo and on')
    await expect.poll(terminal).toContain('\nand on')
    await click('Debugger[role="tab"]')
    await click('Step back')
    await expect.poll(debug).toContain('In the past')
    await click('Back to the last stop')
    await expect.poll(debug).toContain('This is where the recording begins.')
    // What the devices did is done again without them, and ends where the machine is.
    await click('Play from here')
    await expect.poll(debug).toMatch(/^Now/m)
    expect(said).toEqual([])
  })
})

test('types are taken out, and lines stay where they are', () => {
  const code = compile('interface A {\n  x: number\n}\nexport const a: A = { x: 1 } satisfies A\n')
  expect(code.split('\n')[3]).toMatch(/const a *= *{ x: 1 }/)
  expect(() => compile('let x = 1\nlet = ')).toThrow()
})
