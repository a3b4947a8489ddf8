/** The site as files for any web server, and what licences require of those who give it to others. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, describe, expect, test } from 'vitest'
import { checkLicences, siteSizes, writeSite } from '../../src/commands/web/static-site.ts'
import { type ListedPackage, listPackage, PACKAGES_LIST, packagesList } from '../../src/commands/web/packages.ts'
import type { SiteFile } from '../../src/commands/web/server.ts'
import { debianPackage, licenceTexts } from '../support/debian-packages.ts'

const root = temporaryFolder('static-site')

const built = join(root, 'built')
mkdirSync(join(built, 'systems'), { recursive: true })
for (const name of ['index.html', 'service-worker.js', 'systems/systems.json']) writeFileSync(join(built, name), name)

const texts = licenceTexts(join(root, 'base-files'))
const bios = Buffer.from('a BIOS')
let out = ''
beforeEach(() => {
  out = join(mkdtempSync(join(root, 'case-')), 'site')
})

/** The files of a site with a BIOS. */
async function files(licence = 'LGPL-3'): Promise<Map<string, SiteFile>> {
  const given = debianPackage(join(root, 'seabios'), 'seabios', licence, {})
  const options = { purpose: 'A BIOS.', files: new Map([['firmware/bios.bin', bios]]), licenceTexts: texts }
  const { packages, files: added } = await listPackage(given, options)
  return new Map<string, SiteFile>([...added, ['firmware/bios.bin', bios], [PACKAGES_LIST, packagesList(packages)]])
}
const read = (path: string): string => readFileSync(join(out, path), 'utf8')

test('a site has its pages, and with a BIOS its copyright file, licences and sources', async () => {
  const program = 'export {}\n'.repeat(1000)
  writeFileSync(join(built, 'device-program.js'), program)
  writeFileSync(join(built, 'service-worker.js'), 'const SITE = {"version":"1"}')
  await writeSite(built, await files(), out)
  // Programs are there for servers that do not compress, too, and the service worker knows.
  expect(gunzipSync(readFileSync(join(out, 'device-program.js.gz'))).toString()).toBe(program)
  expect(read('service-worker.js')).toBe('const SITE = {"packed":["device-program.js"],"version":"1"}')
  rmSync(join(built, 'device-program.js'))
  // The user of a web server reads it.
  expect(statSync(out).mode & 0o777).toBe(0o755)
  expect(read('index.html')).toBe('index.html')
  expect(read('firmware/bios.bin')).toBe('a BIOS')
  const [listed] = JSON.parse(read(PACKAGES_LIST)) as readonly ListedPackage[]
  expect(listed).toMatchObject({
    name: 'seabios',
    version: '1-2',
    files: [{ path: 'firmware/bios.bin', bytes: 6, sha256: expect.stringMatching(/^[\da-f]{64}$/) }],
    copyrights: ['debian/seabios_all/copyright.txt'],
    // The Lesser GPL adds to the GPL, which has to be there as well.
    licences: ['debian/licences/GPL-3.txt', 'debian/licences/LGPL-3.txt'],
    sources: [
      { files: [{ path: 'debian/sources/seabios_1-2.dsc' }, { path: 'debian/sources/seabios_1.orig.tar.gz' }] },
    ],
  })
  expect(read('debian/licences/GPL-3.txt')).toBe('The text of GPL-3')
  expect(read('debian/sources/seabios_1.orig.tar.gz')).toBe('sources of seabios')
  const sizes = await siteSizes(out)
  expect(sizes.map((line) => line.replace(/^ *[\d.]+ MB +/, ''))).toEqual([
    '5 files  the pages themselves',
    '1 files  firmware, loaded when a disk or a CD is started',
    '4 files  copyright files and licences of what is from Debian',
    '2 files  sources of what is from Debian, for licences',
    '12 files  in all',
  ])
})

test('a licence whose text is missing is an error', async () => {
  await expect(files('XYZ-1')).rejects.toThrow(
    "seabios names the licence XYZ-1, whose text Debian's base-files does not have",
  )
})

test('an earlier site is replaced, other files are kept, and nothing is left of a site that fails', async () => {
  await writeSite(built, await files(), out)
  await writeSite(built, new Map([[PACKAGES_LIST, packagesList([])]]), out)
  expect(existsSync(join(out, 'firmware'))).toBe(false)

  const broken = await files()
  broken.set('debian/sources/seabios_1-2.dsc', () => Promise.reject(new Error('no file')))
  await expect(writeSite(built, broken, out)).rejects.toThrow('no file')
  expect(readdirSync(join(out, '..'))).toEqual(['site'])
  expect(read('index.html')).toBe('index.html')

  const other = join(out, '..', 'other')
  mkdirSync(other)
  await writeSite(built, await files(), other)
  rmSync(join(other, 'service-worker.js'))
  await expect(writeSite(built, await files(), other)).rejects.toThrow('it has other files')
  expect(existsSync(join(other, 'firmware'))).toBe(true)
  await expect(writeSite(out, await files(), out)).rejects.toThrow("the program's own site is there")
  writeFileSync(join(out, '..', 'file'), '')
  await expect(writeSite(built, await files(), join(out, '..', 'file'))).rejects.toThrow('expected a folder')
})

describe('a site may not be given to others', () => {
  const change = async (make: (listed: ListedPackage) => object): Promise<void> => {
    const [listed] = JSON.parse(read(PACKAGES_LIST)) as readonly ListedPackage[]
    writeFileSync(join(out, PACKAGES_LIST), JSON.stringify([{ ...listed, ...make(listed!) }]))
  }
  const write = (path: string, content: string): void => {
    mkdirSync(join(out, path, '..'), { recursive: true })
    writeFileSync(join(out, path), content)
  }
  const sourcesWithout = (end: string) => (listed: ListedPackage) => ({
    sources: listed.sources.map((one) => ({ ...one, files: one.files.filter(({ path }) => !path.endsWith(end)) })),
  })

  test.each<[string, () => unknown, string]>([
    ['a system of no package', () => write('systems/debian-amd64/vmlinuz', 'x'), 'vmlinuz lacks its package'],
    ['firmware of no package', () => write('firmware/vgabios.bin', 'x'), 'firmware/vgabios.bin lacks its package'],
    ['no copyright file', () => change(() => ({ copyrights: [] })), 'seabios lacks a copyright file'],
    ['no licence', () => change(() => ({ licences: [] })), 'seabios lacks the text of a licence'],
    ['an empty licence', () => write('debian/licences/GPL-3.txt', ''), 'seabios lacks debian/licences/GPL-3.txt'],
    [
      'a copyright file that is gone',
      () => rmSync(join(out, 'debian/seabios_all/copyright.txt')),
      'lacks debian/seabios_all',
    ],
    ['no sources', () => change(() => ({ sources: [] })), 'seabios lacks its sources'],
    ['another BIOS', () => write('firmware/bios.bin', 'b BIOS'), 'firmware/bios.bin differs from the SHA-256'],
    [
      'a wrong size',
      () => change(({ files: [file] }) => ({ files: [{ ...file, bytes: 7 }] })),
      'firmware/bios.bin differs from',
    ],
    [
      'sources that are gone',
      () => rmSync(join(out, 'debian/sources/seabios_1.orig.tar.gz')),
      'seabios lacks debian/sources/',
    ],
    ['sources without .dsc', () => change(sourcesWithout('.dsc')), 'the source package seabios 1-2 lacks a .dsc file'],
    [
      'sources without archive',
      () => change(sourcesWithout('.tar.gz')),
      'seabios 1-2 lacks seabios_1.orig.tar.gz of SHA-256',
    ],
    [
      'sources of another version',
      () => change(({ sources }) => ({ sources: sources.map((one) => ({ ...one, version: '1-3' })) })),
      'seabios_1-2.dsc is of seabios 1-2; expected the source package seabios 1-3',
    ],
  ])('with %s', async (_what, damage, message) => {
    await writeSite(built, await files(), out)
    await checkLicences(out)
    await damage()
    await expect(checkLicences(out)).rejects.toThrow(message)
  })

  test('so that it is not written either', async () => {
    const given = await files()
    given.set('firmware/another.bin', bios)
    await expect(writeSite(built, given, out)).rejects.toThrow('firmware/another.bin lacks its package')
    expect(existsSync(out)).toBe(false)
  })
})
