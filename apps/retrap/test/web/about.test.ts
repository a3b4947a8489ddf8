/** The About page of a site with firmware: what it lists is there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { addLocalFirmware } from '../../src/commands/web/firmware.ts'
import { PACKAGES_LIST, packagesList } from '../../src/commands/web/packages.ts'
import { type SiteFile, serveSite, siteFolder } from '../../src/commands/web/server.ts'
import { debianPackage, licenceTexts } from '../support/debian-packages.ts'

// The site that has been built is opened, by those who have a browser.
const isBuilt = existsSync(join(siteFolder(), 'about.html'))
const lacks = noBrowser ?? (isBuilt ? undefined : 'the site is not built: npx turbo run build --filter=@retrap/site')

test.skipIf(lacks !== undefined)(
  `the About page links each file, licence and source, and says where there is no firmware yet${skipNote(lacks === undefined, lacks ?? '')}`,
  async () => {
    const folder = temporaryFolder('about')
    const seabios = debianPackage(join(folder, 'seabios'), 'seabios', 'LGPL-3', {
      'usr/share/seabios/bios-256k.bin': 'the BIOS',
      'usr/share/seabios/vgabios-stdvga.bin': 'the VGA BIOS',
    })
    const given = [seabios, licenceTexts(join(folder, 'base-files'))]
    const files = new Map<string, SiteFile>([[PACKAGES_LIST, packagesList([])]])
    const source = { find: async () => undefined, fetch: async () => given }
    await addLocalFirmware(files, [], () => {}, source)
    const site = await serveSite(siteFolder(), 0, files)
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      await page.goto(site.url, { waitUntil: 'load' })
      await page.locator('::-p-aria(About[role="link"])').click()
      const text = (): Promise<string> => page.evaluate("document.querySelector('#app').innerText") as Promise<string>
      await expect.poll(text).toContain('SeaBIOS is fetched from Debian when a machine first needs it')
      expect((await fetch(`${site.url}firmware/bios-256k.bin`)).status).toBe(200)
      await page.reload()
      await expect.poll(text).toMatch(/seabios 1-2 \(all\)[^]*bios-256k\.bin, 1 KiB\s+[\da-f]{64}[^]*LGPL-3/)
      const links = (await page.evaluate(
        "[...document.querySelectorAll('main a')].map(({ href }) => href)",
      )) as string[]
      const own = links.filter((href) => href.startsWith(site.url))
      expect(own.map((href) => href.slice(site.url.length))).toEqual(
        expect.arrayContaining([
          'LICENSE.txt',
          'THIRD-PARTY-NOTICES.txt',
          'firmware/vgabios-stdvga.bin',
          'debian/seabios_all/copyright.txt',
          'debian/licences/GPL-3.txt',
          'debian/licences/LGPL-3.txt',
          'debian/sources/seabios_1-2.dsc',
          'debian/sources/seabios_1.orig.tar.gz',
        ]),
      )
      const answers = await Promise.all(own.map(async (href) => `${href} ${(await fetch(href)).status}`))
      expect(answers.filter((answer) => !answer.endsWith(' 200'))).toEqual([])
    } finally {
      await browser.close()
      site.close()
    }
  },
)
