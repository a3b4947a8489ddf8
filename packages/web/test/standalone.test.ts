/**
 * The example in plain HTML: the package without a bundler, in a page that has it from another origin. The package's own entry
 * starts the same program of a Worker, so that the files have to pass through a bundler, too.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { buildGuestImage } from '@retrap/embedded-guest'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import { sliceTests } from '@retrap/tooling/slice'
import type { Browser, Page } from 'puppeteer-core'
import { build } from 'vite'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { MOST_FIRST_BYTES } from '../build/parts.ts'
import { bundleStandalone } from '../build/standalone.ts'
import type { MachineElement } from '../src/index.ts'
import { extendedGuest } from './support/guests.ts'
import type { PageGlobals } from './support/pages.ts'

const test = sliceTests(2)

const EXAMPLE = readFileSync(new URL('../examples/page.html', import.meta.url), 'utf8')
const CDN = 'https://cdn.jsdelivr.net'
/** Where the example has them from. */
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const MODULES = `npm/@retrap/web@${version}/dist/standalone`
const GUEST = `npm/retrap@${version}/dist/site/guest.bin`

/** The text of the example's serial port. */
const serial = (page: Page): Promise<string> =>
  page.evaluate(() => document.querySelector('retrap-machine')?.shadowRoot?.querySelector('pre')?.textContent ?? '')

if (noBrowser !== undefined) console.warn(`SKIPPED: a page without a bundler: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('a page without a bundler', () => {
  let browser: Browser
  let cdn: PageServer
  let html: string
  let site: PageServer
  let modules: ReadonlyMap<string, string>
  /** Paths that the other origin was asked for. */
  const asked: string[] = []

  beforeAll(async () => {
    modules = await bundleStandalone()
    const files = new Map(
      [...modules].map(([name, text]): [string, string | Uint8Array] => [`${MODULES}/${name}`, text]),
    )
    files.set(GUEST, buildGuestImage())
    // A module without its Worker's program.
    files.set('alone/index.js', modules.get('index.js')!)
    // WebKit would evaluate the entry of a Worker once more for a module that imports it.
    const importers = [...modules].filter(([, text]) => /\b(?:from|import) ?\(?["'`][^"'`]*machine-worker/.test(text))
    expect(importers).toEqual([])
    cdn = await servePages(files, {
      isolated: false,
      headers: { 'access-control-allow-origin': '*' },
      answer: ({ url = '' }) => asked.push(url.slice(1)) < 0,
    })
    html = EXAMPLE.replaceAll(CDN, cdn.origin)
    const script = createHash('sha256')
      .update(/<script[^>]*>([^]*)<\/script>/.exec(html)![1]!)
      .digest('base64')
    const policy = `default-src 'none'; script-src ${cdn.origin} 'sha256-${script}' 'wasm-unsafe-eval'; worker-src blob: ${cdn.origin}; connect-src ${cdn.origin}; img-src data:`
    // Isolated: the strictest of pages.
    site = await servePages(new Map([['index.html', html]]), { headers: { 'content-security-policy': policy } })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    cdn?.close()
    site?.close()
  })

  test('the example runs its machine, has what it needs alone, and leaves no Worker', async () => {
    const page = await browser.newPage()
    const said: string[] = []
    page.on('console', (message) => said.push(message.text()))
    page.on('pageerror', (error) => said.push(String(error)))
    await page.goto(site.origin, { waitUntil: 'load' })
    await expect.poll(() => serial(page)).toMatch(/retrap> $/)
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
    expect(new Set(asked)).toEqual(new Set([`${MODULES}/index.js`, `${MODULES}/machine-worker.js`, GUEST]))
    await page.click('#ask')
    await expect.poll(() => serial(page)).toMatch(/> help\s[^]*retrap> $/)

    // A part comes when it is asked for, to a Worker whose own address is no place of files.
    const vcpus = await page.evaluate(async () => {
      const { machine } = document.querySelector<MachineElement>('retrap-machine')!
      return (await machine!.inspect()).vcpus.length
    })
    expect([vcpus, asked.at(-1)]).toEqual([1, `${MODULES}/chunk-common.js`])
    expect(page.workers().length).toBe(1)
    await page.click('#remove')
    await expect.poll(() => page.workers().length).toBe(0)
    expect(said).toEqual([])
    await page.close()
  })

  test('what a machine is started with has no loaders of kernels in it, and keeps to its budget', () => {
    const first = ['index.js', 'machine-worker.js'].map((name) => modules.get(name)).join('\n')
    expect(first.includes('XEN_ELFNOTE')).toBe(false)
    // A release weighs what was published.
    expect(gzipSync(first, { level: 9 }).length).toBeLessThan(MOST_FIRST_BYTES)
  })

  test('the example runs as a file of the user, which has no origin', async () => {
    const folder = temporaryFolder('standalone')
    const file = join(folder, 'page.html')
    writeFileSync(file, html)
    const page = await browser.newPage()
    await page.goto(pathToFileURL(file).href, { waitUntil: 'load' })
    await expect.poll(() => serial(page)).toMatch('a 64-bit guest')
    await page.close()
  })

  test('a query is no part of the Worker’s address; a Worker without its program is an error', async () => {
    const page = await browser.newPage()
    await page.goto(`${site.origin}/empty`, { waitUntil: 'load' })
    // Vite would replace an `import()` that is no text.
    const urls = [`${cdn.origin}/${MODULES}/index.js?of=a/page`, `${cdn.origin}/alone/index.js`]
    await page.evaluate(
      `Promise.all(${JSON.stringify(urls)}.map((url) => import(url))).then((all) => (globalThis.all = all))`,
    )
    const failure = await page.evaluate(async (firmware) => {
      const [{ createMachine }, alone] = (globalThis as unknown as { all: [PageGlobals, PageGlobals] }).all
      const options = { firmware, memoryBytes: 16 << 20 }
      const machine = await createMachine(options)
      machine.dispose()
      return alone.createMachine(options).then(
        () => 'made',
        ({ code, message }: { code: string; message: string }) => `${code}: ${message}`,
      )
    }, `${cdn.origin}/${GUEST}`)
    expect(failure).toBe("ERR_WORKER: the machine's Worker has failed: its program cannot be loaded")
    await expect.poll(() => page.workers().length).toBe(0)
    await page.close()
  })
  test('Vite’s default configuration builds a page whose machine loads its parts, with no script from an address of data', async () => {
    const folder = temporaryFolder('vite')
    let server: PageServer | undefined
    try {
      for (const [name, text] of modules) writeFileSync(join(folder, name), text)
      writeFileSync(
        join(folder, 'main.js'),
        "export { createMachine } from './index.js'\nimport * as all from './index.js'\nglobalThis.all = all\n",
      )
      writeFileSync(
        join(folder, 'index.html'),
        '<link rel="icon" href="data:,"><script type="module" src="/main.js"></script>',
      )
      const result = await build({ root: folder, configFile: false, logLevel: 'error', build: { write: false } })
      if (!('output' in result)) throw new Error('vite gave no bundle')
      const files = new Map(result.output.map((one) => [one.fileName, one.type === 'chunk' ? one.code : one.source]))
      const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src data:"
      server = await servePages(files.set('guest.bin', buildGuestImage()).set('extended.bin', extendedGuest()), {
        headers: { 'content-security-policy': policy },
      })
      const page = await browser.newPage()
      const said: string[] = []
      page.on('console', (message) => said.push(message.text()))
      await page.goto(server.origin, { waitUntil: 'load' })
      const [text, vcpus] = await page.evaluate(async () => {
        const { createMachine } = (globalThis as unknown as { all: PageGlobals }).all
        const drives = [{ source: new Uint8Array(1 << 20), interface: 'nvme' as const }]
        const machine = await createMachine({ firmware: '/guest.bin', memoryBytes: 16 << 20, drives })
        const codes: number[] = []
        const prompt = new Promise<string>((resolve) =>
          machine.on('serial', (bytes) => {
            codes.push(...bytes)
            const said = String.fromCharCode(...codes)
            if (said.endsWith('retrap> ')) resolve(said)
          }),
        )
        void machine.run().catch(() => {})
        const got = [await prompt, (await machine.inspect()).vcpus.length] as const
        machine.dispose()
        return got
      })
      const extended = await page.evaluate(async () => {
        const { createMachine } = (globalThis as unknown as { all: PageGlobals }).all
        const found: string[] = []
        for (const cpu of ['max', 'skylake-server', 'diamond-rapids']) {
          const machine = await createMachine({ firmware: '/extended.bin', memoryBytes: 16 << 20, cpu })
          let text = ''
          machine.on('serial', (bytes) => (text += String.fromCharCode(...bytes)))
          await machine.run()
          const isCompiled = async (): Promise<boolean> =>
            (await machine.compiledCode()).some((code) => code.instructions.some(({ bytes }) => bytes[0] === 0x62))
          // Another Worker compiles, and may start when the guest has ended already.
          for (let i = 0; cpu !== 'max' && i < 300 && !(await isCompiled()); i++)
            await new Promise((resolve) => setTimeout(resolve, 100))
          found.push(`${cpu} ${text}${(await isCompiled()) ? ', compiled' : ''}`)
          machine.dispose()
        }
        return found
      })
      expect(extended).toEqual([...['max UUUU', 'skylake-server =UUU, compiled', 'diamond-rapids ====, compiled']])
      expect([text, vcpus, said]).toEqual([expect.stringContaining('a 64-bit guest'), 1, []])
      await page.close()
    } finally {
      server?.close()
    }
  })
})
