/** Facts of the built site's files. */
import { brotliCompressSync, constants } from 'node:zlib'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { servePages } from '@retrap/tooling/page-server'
import { expect, test } from 'vitest'
import { terminalText } from './support/page.ts'
import { buildSite } from './support/site.ts'

/** The most that a browser loads until the prompt of the embedded guest, compressed by Brotli, in bytes. */
const MOST_FIRST_BYTES = 400_000

test('no module imports the entry of a Worker: WebKit would evaluate it once more, and make two machines', async () => {
  const scripts = [...(await buildSite())]
    .filter(([name]) => name.endsWith('.js'))
    .map(([name, bytes]) => ({ name: name.replace(/^.*\//, ''), text: Buffer.from(bytes).toString() }))
  const entries = scripts.flatMap(({ text }) =>
    [...text.matchAll(/new URL\([`"']([^`"']+\.js)[`"'], ?import\.meta\.url\)/g)].map(([, name]) => name!),
  )
  expect(entries).toEqual([expect.stringMatching(/^machine-worker-/)])
  const importers = scripts.filter(({ text }) =>
    [...text.matchAll(/\b(?:from|import) ?\(?[`"'](?:\.\/)?([^`"']+)[`"']/g)].some(([, name]) =>
      entries.includes(name!),
    ),
  )
  expect(importers.map(({ name }) => name)).toEqual([])
})

test.skipIf(noBrowser !== undefined)(
  'a first machine is below 400 KB: page, terminal, Worker, engine, JIT, board',
  async () => {
    const files = await buildSite()
    const server = await servePages(files)
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      const loaded = new Set<string>()
      page.on('request', (request) => loaded.add(new URL(request.url()).pathname.slice(1) || 'index.html'))
      await page.goto(server.origin, { waitUntil: 'networkidle0' })
      await page.locator('::-p-aria(Start the embedded guest)').click()
      await expect.poll(() => terminalText(page)).toContain('retrap> ')
      // The guest is the user's system, and no part of the program; the debugger's bar comes when the guest runs.
      for (const name of loaded) if (/^guest.bin$|\/(instrument|use-debugger|debugger)-/.test(name)) loaded.delete(name)
      const params = { [constants.BROTLI_PARAM_LGWIN]: 24 }
      const sizes = [...loaded].map((name) => brotliCompressSync(files.get(name) ?? '', { params }).length)
      expect(sizes.filter((bytes) => bytes > 50_000).length).toBe(2)
      expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(MOST_FIRST_BYTES)
    } finally {
      await browser.close()
      server.close()
    }
  },
)
