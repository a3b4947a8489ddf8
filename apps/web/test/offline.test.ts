/** The site without a network, and on a server that does not isolate its pages. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { servePages } from '@retrap/tooling/page-server'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { offeredGuest } from './support/offered-guest.ts'
import { newPage, terminalText } from './support/page.ts'

const INSPECTOR = '#panel-inspector'
let loads = 0
let unpacked = 0
const answer = ({ url }: { url?: string | undefined }): boolean => {
  if (url === '/') loads++
  if (url?.endsWith('.gz') === true) unpacked++
  return false
}

describeSite(
  'the site on a plain server',
  (site) => {
    test('is loaded again once, is isolated then, and starts its guest when the server is gone', async () => {
      const said: string[] = []
      const page = await newPage(site.browser, said)
      // A static site has its programs packed as well.
      const packed = [...site.files.keys()].filter((name) => /^assets\/.*\.(js|css)$/.test(name))
      for (const name of packed) site.files.set(`${name}.gz`, gzipSync(site.files.get(name)!))
      const worker = Buffer.from(site.files.get('service-worker.js')!).toString()
      const knowing = worker.replace('const SITE = {', `$&"packed":${JSON.stringify(packed)},`)
      site.files.set('service-worker.js', knowing)
      let navigations = 0
      page.on('framenavigated', () => navigations++)
      await page.goto(site.server.origin, { waitUntil: 'load' })
      const isIsolated = (): Promise<boolean> => page.evaluate(() => crossOriginIsolated).catch(() => false)
      await expect.poll(isIsolated).toBe(true)
      expect([navigations, loads]).toEqual([2, 1])
      expect(unpacked).toBe(packed.length)
      // The list of systems is the server's as long as there is a server.
      const systems = (): Promise<string> => page.evaluate(async () => (await fetch('systems/systems.json')).text())
      site.files.set('systems/systems.json', '[ ]')
      expect(await systems()).toBe('[ ]')
      // Firmware is kept when it has been needed, in the version that was needed last.
      const firmware = (): Promise<string> => page.evaluate(async () => (await fetch('firmware/bios.bin')).text())
      for (const content of ['an old BIOS', 'a BIOS']) {
        site.files.set('firmware/bios.bin', content)
        expect(await firmware()).toBe(content)
      }
      site.server.close()
      await page.goto(site.server.origin, { waitUntil: 'load' })
      await page.locator('::-p-aria(Start the embedded guest)').click()
      await expect.poll(() => terminalText(page)).toMatch(/retrap> \s*$/)
      expect(await systems()).toBe('[]')
      expect(await firmware()).toBe('a BIOS')
      // Also what is loaded when it is used is there.
      await page.locator('::-p-aria(Inspector[role="tab"])').click()
      await expect
        .poll(() => page.$eval(INSPECTOR, (one) => (one as HTMLElement).innerText))
        .toContain('vCPU 0: 64-bit')
      // The machine has an entry of the history, for the button Back.
      expect(navigations).toBe(4)
      expect(said).toEqual([])
    })

    test('is read whole where its server answers no requests for a range, and says so', async () => {
      const plain = new Map([...site.files, ...(await offeredGuest())])
      const ignoring = await servePages(plain, {
        answer: ({ headers }) => {
          delete headers.range
          return false
        },
      })
      try {
        const page = await newPage(site.browser)
        await page.goto(ignoring.origin, { waitUntil: 'load' })
        await page.locator('::-p-aria(Start Small guest)').click()
        await expect.poll(() => terminalText(page)).toMatch(/saved here\s*\n\s*retrap> \s*$/)
        expect(await page.$('.unserved')).toBe(null)
        const status = (): Promise<string> => page.$eval('.status', (one) => one.textContent)
        await expect.poll(status).toContain('answers no requests for a range: all of snapshot was fetched')
      } finally {
        ignoring.close()
      }
    })

    test('says what it needs where it is opened as a file', async () => {
      const folder = temporaryFolder('site-file')
      for (const [name, content] of site.files) {
        mkdirSync(dirname(join(folder, name)), { recursive: true })
        writeFileSync(join(folder, name), content)
      }
      const page = await newPage(site.browser)
      await page.goto(pathToFileURL(join(folder, 'index.html')).href, { waitUntil: 'load' })
      await expect.poll(() => page.evaluate(() => document.body.innerText)).toContain('This page needs a web server')
    })
  },
  { isolated: false, answer },
)
