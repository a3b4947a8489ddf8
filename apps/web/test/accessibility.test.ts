/** What axe finds on each page, in both themes: nothing. */
import { beforeAll, expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { clusterRun } from './support/cluster-run.ts'
import { violations } from './support/page.ts'

/** A package of Debian in the site. */
const FILE = { path: 'firmware/bios-256k.bin', bytes: 262_144, sha256: 'e'.repeat(64) }
const PACKAGE = {
  ...{ name: 'seabios', version: '1.16.2-1', architecture: 'all', purpose: 'The BIOS.', files: [FILE] },
  ...{ copyrights: ['debian/seabios_all/copyright.txt'], licences: ['debian/licences/LGPL-3.txt'] },
  sources: [
    { name: 'seabios', version: '1.16.2-1', files: [{ ...FILE, path: 'debian/sources/seabios_1.16.2-1.dsc' }] },
    { name: 'busybox', version: '1:1.35.0-4', files: [] },
  ],
}

describeSite('axe', (site) => {
  beforeAll(async () => {
    site.files.set('debian/packages.json', JSON.stringify([PACKAGE]))
    site.files.set('three.run', await clusterRun(9e9, 8.99e9))
  })

  test.each(['light', 'dark'])('finds nothing in the %s theme', async (value) => {
    const page = await site.browser.newPage()
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }])
    await page.goto(`${site.server.origin}/#kernel=a&disk=b`, { waitUntil: 'load' })
    await page.waitForSelector('h1')
    const openAll = (): Promise<void> =>
      page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
    await openAll().then(() => page.waitForSelector('select[name=memory]'))
    expect(await violations(page)).toEqual([])
    await page.goto(`${site.server.origin}/about.html`, { waitUntil: 'load' })
    await page.waitForSelector('.listed')
    expect(await violations(page), 'about').toEqual([])
    await page.goto(`${site.server.origin}/?lanes#lanes=three.run`, { waitUntil: 'load' })
    await page.locator('.items .line').click()
    expect(await violations(page), 'lanes').toEqual([])
    await page.goto(site.server.origin, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start the embedded guest)').click()
    // The terminal is there before the machine is.
    await page.waitForSelector('[role=tab]')
    await page.setViewport({ width: 1400, height: 900 })
    await page.click('#tab-devices')
    await page.waitForSelector('.strips')
    await page.click('[aria-label="Delay of hpet"] input[value="300"]')
    await page.waitForSelector('.impaired')
    const shown = {
      Devices: '.strips',
      Inspector: 'section[aria-label="vCPU 0"]',
      Snapshots: '.time',
      Playground: '.editor',
      // Of a recorded machine: its playground takes no devices.
      Debugger: '.debugger .rows',
      Keys: '.keys',
    }
    for (const [name, selector] of Object.entries(shown)) {
      await page.locator(`::-p-aria(${name}[role="tab"])`).click()
      if (name === 'Snapshots') await page.locator('::-p-aria(Save now)').click()
      if (name === 'Debugger') await page.locator('::-p-aria(Record[role="button"])').click()
      await page.waitForSelector(selector)
      await openAll()
      expect(await violations(page), name).toEqual([])
      if (name !== 'Debugger') continue
      // A guest that waits at its prompt has no past: it executes nothing.
      await page.type('.xterm-helper-textarea', 'x')
      await page.waitForFunction(() => /> x/.test(document.querySelector('.xterm-rows')?.textContent ?? ''))
      await page.locator('::-p-aria(Step back)').click()
      await page.waitForSelector('.past')
      expect(await violations(page), 'the past').toEqual([])
      await page.setViewport({ width: 390, height: 844 })
      expect(await violations(page), 'a sheet').toEqual([])
      await page.setViewport({ width: 1400, height: 900 })
    }
    await page.locator('::-p-aria(Close[role="button"])').click()
    await page.waitForSelector('dialog[open]')
    expect(await violations(page), 'the question').toEqual([])
    await page.close()
  })
})
