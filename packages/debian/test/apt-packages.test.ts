/** What is asked of apt, and what is made of its answers. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { find } from '../src/cache.ts'
import { Apt, type AptOptions, keep } from '../src/index.ts'
import { fake, root } from './support/fake-programs.ts'

const callsOf = async (name: string): Promise<string[]> =>
  (await readFile(join(root(), 'bin', `${name}.calls`), 'utf8')).trimEnd().split('\n')

const directory = (): string => join(root(), 'apt')
const open = (options: Partial<AptOptions> = {}): Promise<Apt> => Apt.open({ directory: directory(), ...options })

const MAIN = `Types: deb
URIs: MIRROR
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
const SECURITY = MAIN.replace('MIRROR', 'SECURITY_MIRROR').replace('bookworm bookworm-updates', 'bookworm-security')
const both = (main: string, security: string): string =>
  `${MAIN.replace('MIRROR', main)}\n${SECURITY.replace('SECURITY_MIRROR', security)}`

describe('the sources of packages', () => {
  test.each<[string, Partial<AptOptions>, string, string]>([
    ['are Debian’s own', {}, '', both('http://deb.debian.org/debian', 'http://deb.debian.org/debian-security')],
    [
      'are those of the host',
      {},
      'http://near/debian/\nhttp://near/debian-security\nhttp://other/ubuntu',
      both('http://near/debian/', 'http://near/debian-security'),
    ],
    ['are at a mirror', { mirror: 'http://m/debian' }, '', both('http://m/debian', 'http://m/debian-security')],
    ['are at a mirror of another name', { mirror: 'http://m/x' }, '', MAIN.replace('MIRROR', 'http://m/x')],
    [
      'leave security out',
      { mirror: 'http://m/debian/', withoutSecurity: true },
      '',
      MAIN.replace('MIRROR', 'http://m/debian/'),
    ],
    [
      'have source packages too',
      { mirror: 'http://m/x', withSources: true },
      '',
      MAIN.replace('MIRROR', 'http://m/x').replace('deb', 'deb deb-src'),
    ],
  ])('%s', async (_what, options, host, sources) => {
    await fake('apt-get', `case "$*" in *indextargets*) printf '%s\\n' '${host}';; esac`)
    await open(options)
    expect(await readFile(join(directory(), 'sources/debian.sources'), 'utf8')).toBe(sources)
    expect((await callsOf('apt-get')).at(-1)).toContain('-o APT::Update::Error-Mode=any update')
  })

  test.each([
    [undefined, 'amd64'],
    [['amd64', 'i386'], 'amd64,i386'],
    [['arm64'], 'arm64'],
  ])('are of the architectures %j, the first where none is named', async (architectures, expected) => {
    await fake('apt-get', '')
    await open({ mirror: 'http://m/x', ...(architectures && { architectures }) })
    const [call] = await callsOf('apt-get')
    expect(call).toContain(`-o APT::Architecture=${expected.split(',')[0]} -o APT::Architectures=${expected} `)
    for (const setting of ['Dir::State=' + directory(), 'APT::Install-Recommends=0', 'APT::Sandbox::User= '])
      expect(call).toContain(`-o ${setting}`)
    expect(await readFile(join(directory(), 'status'), 'utf8')).toBe('')
  })

  test('of the host are what its apt is configured for', async () => {
    await fake('apt-get', '')
    await open({ archive: 'host', architectures: ['i386'] })
    expect(await readdir(join(directory(), 'sources'))).toEqual([])
    expect((await callsOf('apt-get')).join()).not.toMatch(/sourcelist|APT::Architecture/)
  })
})

describe('a package', () => {
  beforeEach(() => fake('apt-get', ''))

  test('is known by name, version and what it depends on', async () => {
    const apt = await open({ archive: 'host' })
    await fake(
      'apt-cache',
      `printf 'Package: linux-image-amd64\\nVersion: 6.1.1-2\\nDepends: one (= 2), two | three,four\\nNot-Depends: x\\n'`,
    )
    expect(await apt.show('linux-image-amd64')).toEqual({
      ...{ name: 'linux-image-amd64', version: '6.1.1-2', dependsOn: ['one', 'two', 'four'] },
    })
    expect((await callsOf('apt-cache'))[0]).toContain('show --no-all-versions linux-image-amd64')
    await fake('apt-cache', `printf 'Package: alone\\nVersion: 1\\n'`)
    expect((await apt.show('alone')).dependsOn).toEqual([])
    await fake('apt-cache', 'echo "W: noise" >&2; echo "E: No packages found" >&2; exit 100')
    await expect(apt.show('none')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_FETCH', message: 'apt could not get none from Debian: No packages found' }),
    )
  })

  test('is downloaded with all that it depends on', async () => {
    const apt = await open({ archive: 'host' })
    await fake(
      'apt-get',
      `case "$*" in *--print-uris*)
printf "%s\\n" "Reading..." "'http://m/p/one_1_amd64.deb' one_1_amd64.deb 100 SHA256:1" "'http://m/t' two_2_all.deb 5 x" ;; esac`,
    )
    expect(await apt.downloadClosure(['one', 'more'])).toEqual(
      ['one_1_amd64.deb', 'two_2_all.deb'].map((name) => join(directory(), 'cache/archives', name)),
    )
    const [, list, fetch] = await callsOf('apt-get')
    const install = 'install --download-only -y one more'
    expect(list).toContain(`-o Dir::Cache::Archives=${join(directory(), 'empty')} --print-uris ${install}`)
    expect(fetch).toContain(`-q ${install}`)
  })
})

test('a folder of the cache is found while its files are as they were recorded', async () => {
  expect(await find(root(), 'a')).toBeUndefined()
  const make = async (folder: string, scratch: string): Promise<number> => {
    expect(await readdir(scratch)).toEqual([])
    await mkdir(folder)
    await writeFile(join(folder, 'file'), 'content')
    return 5
  }
  const { folder, data } = await keep({ root: root(), name: 'a', make })
  expect([data, await find(root(), 'a')]).toEqual([5, folder])
  const manifest = join(folder, 'manifest.json')
  const text = await readFile(manifest, 'utf8')
  await writeFile(manifest, text.replace('"format": 1', '"format": 2'))
  expect(await find(root(), 'a')).toBeUndefined()
  await writeFile(manifest, text)
  expect(await find(root(), 'a')).toBe(folder)
  await writeFile(join(folder, 'file'), 'c0ntent')
  expect(await find(root(), 'a')).toBeUndefined()
})
