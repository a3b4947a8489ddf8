import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { type PageServerOptions, type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Browser } from 'puppeteer-core'
import { afterAll, beforeAll, describe } from 'vitest'
import { buildSite } from './site.ts'

/** The site on a server, and a browser. They are there once the tests begin. */
export interface ServedSite {
  browser: Browser
  server: PageServer
  /** The files that are served, by name; more may be added. */
  files: Map<string, Uint8Array | string>
}

/** Describes the site in Chromium. Without a browser the tests are skipped, which is said. */
export function describeSite(title: string, tests: (site: ServedSite) => void, options: PageServerOptions = {}): void {
  if (noBrowser !== undefined) console.warn(`SKIPPED: ${title}: ${noBrowser}`)
  describe.skipIf(noBrowser !== undefined)(title, () => {
    const site = {} as ServedSite
    beforeAll(async () => {
      site.files = await buildSite()
      site.server = await servePages(site.files, options)
      site.browser = await launchBrowser()
    })
    afterAll(async () => {
      await site.browser?.close()
      site.server?.close()
    })
    tests(site)
  })
}
