/** The example for React, in a page of React's. */
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { bundlePage } from '@retrap/tooling/bundle'
import { servePages } from '@retrap/tooling/page-server'
import { expect, test } from 'vitest'
import { POLICY } from './support/pages.ts'

test.skipIf(noBrowser !== undefined)('a component has one machine, which goes with it', async () => {
  const files = new Map(await bundlePage(fileURLToPath(new URL('support/react-page.tsx', import.meta.url))))
  files.set('guest.bin', buildGuestImage())
  const script = [...files.keys()].find((name) => name.endsWith('page.js'))!
  files.set(
    'index.html',
    `<!doctype html><link rel="icon" href="data:,"><script type="module" src="${script}"></script>`,
  )
  const server = await servePages(files, { headers: { 'content-security-policy': POLICY } })
  const browser = await launchBrowser()
  try {
    const page = await browser.newPage()
    const said: string[] = []
    page.on('pageerror', (error) => said.push(String(error)))
    await page.goto(server.origin, { waitUntil: 'load' })
    const text = (selector: string): Promise<string> =>
      page.$eval(selector, (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(() => text('pre')).toMatch(/retrap> $/)
    expect(await text('[role=status]')).toBe('running')
    await expect.poll(() => page.workers().length).toBe(1)
    await page.locator('::-p-aria(Another)').click()
    await expect.poll(() => text('[role=status]')).toMatch(/^kernel: .*status 404/)
    await page.locator('::-p-aria(Away)').click()
    await expect.poll(() => page.workers().length).toBe(0)
    expect(said).toEqual([])
  } finally {
    await browser.close()
    server.close()
  }
})
