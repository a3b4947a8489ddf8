/** SeaBIOS of a site: fetched when a machine needs it, or with its sources for a site that is given to others. */
import { join } from 'node:path'
import type { DistributedPackage } from '@retrap/debian'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import * as F from '../../src/commands/web/firmware.ts'
import { checkLicences, writeSite } from '../../src/commands/web/static-site.ts'
import { type ListedPackage, PACKAGES_LIST, packagesList } from '../../src/commands/web/packages.ts'
import { type SiteFile, serveSite } from '../../src/commands/web/server.ts'
import { debianPackage, licenceTexts } from '../support/debian-packages.ts'

const root = temporaryFolder('firmware')

const seabios = debianPackage(join(root, 'seabios'), 'seabios', 'LGPL-3', {
  'usr/share/seabios/bios-256k.bin': 'the BIOS',
  'usr/share/seabios/vgabios-stdvga.bin': 'the VGA BIOS',
})
const packages: readonly DistributedPackage[] = [seabios, licenceTexts(join(root, 'base-files'))]
const BOTH = ['firmware/bios-256k.bin', 'firmware/vgabios-stdvga.bin']

async function siteWith(source: Partial<F.FirmwareSource>) {
  const files = new Map<string, SiteFile>([[PACKAGES_LIST, packagesList([])]])
  const told: string[] = []
  const given = { find: async () => undefined, fetch: async () => packages, ...source }
  await F.addLocalFirmware(files, [], (text) => void told.push(text), given)
  const site = await serveSite(join(root, 'none'), 0, files)
  const ask = async (path: string): Promise<string> => {
    const response = await fetch(site.url + path)
    return response.ok ? response.text() : String(response.status)
  }
  const listed = async (): Promise<string[]> =>
    (JSON.parse(await ask(PACKAGES_LIST)) as readonly ListedPackage[]).map(({ name }) => name)
  return { site, told, ask, listed }
}

test('that is in the cache is there at once, with its licences', async () => {
  const { site, told, ask, listed } = await siteWith({ find: async () => packages, fetch: () => expect.fail() })
  expect(JSON.parse(await ask(F.FIRMWARE_LIST))).toEqual({ firmware: BOTH[0], vgaBios: BOTH[1] })
  expect(await Promise.all(BOTH.map(ask))).toEqual(['the BIOS', 'the VGA BIOS'])
  expect(await listed()).toEqual(['seabios'])
  expect(await ask('debian/licences/LGPL-3.txt')).toBe('The text of LGPL-3')
  expect(told).toEqual([])
  site.close()
})

test('is fetched once, when a page first asks for it; what fails is told, and tried again', async () => {
  let fetches = 0
  const { site, told, ask, listed } = await siteWith({
    fetch: async () => {
      if (fetches++ === 0) throw new Error('no network')
      return packages
    },
  })
  // The page knows that there will be a BIOS, and nothing has been fetched for that.
  expect(JSON.parse(await ask(F.FIRMWARE_LIST))).not.toBeNull()
  expect([await listed(), fetches]).toEqual([[], 0])
  expect(await ask(BOTH[0]!)).toBe('500')
  expect(told).toEqual([
    'fetching SeaBIOS from Debian, for a machine in a page',
    'SeaBIOS cannot be fetched: no network',
  ])
  expect(await Promise.all([...BOTH, ...BOTH].map(ask))).toEqual([
    'the BIOS',
    'the VGA BIOS',
    'the BIOS',
    'the VGA BIOS',
  ])
  expect(fetches).toBe(2)
  expect(await listed()).toEqual(['seabios'])
  site.close()
})

test("Debian's, with its sources, may be given to others", { timeout: 300_000 }, async ({ skip }) => {
  const told: string[] = []
  const firmware = await F.firmwareForOthers((text) => void told.push(text))
  skip(firmware === null, told[0])
  const out = join(root, 'site')
  const all = new Map([...firmware!.files, [PACKAGES_LIST, packagesList(firmware!.packages)] as const])
  await writeSite(join(root, 'seabios'), all, out)
  await checkLicences(out)
  const [{ licences, sources }] = firmware!.packages as [ListedPackage]
  expect(licences).toEqual(expect.arrayContaining(['debian/licences/GPL-3.txt', 'debian/licences/LGPL-3.txt']))
  expect(sources.map(({ files }) => files.map(({ path }) => path.replace(/^.*\/seabios_[\d.-]+(?=\.)/, '')))).toEqual([
    ['.debian.tar.xz', '.dsc', '.orig.tar.gz'],
  ])
  expect(told).toEqual([])
})
