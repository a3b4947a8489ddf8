/** Packages by name and SHA-256 without apt, from servers and folders of the test's. No network is used. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Archive, type ArchiveOptions, withPackages } from '../src/archive.ts'
import { readControl } from '../src/distributed.ts'
import { unpackPackage } from '../src/deb.ts'
import { type ListedPackage, compareVersions } from '../src/lists.ts'
import { DEBIAN_KEYS } from '../src/keys.ts'
import { kernelPackages } from '../src/members.ts'
import { PINNED } from '../src/pins.ts'
import { type ReleaseName, RELEASES } from '../src/releases.ts'
import * as madeArchive from './support/made-archive.ts'

const { key, sign } = madeArchive.makeKey()
const OLD = await madeArchive.makePackage('tool', '1:1.0-1')
const NEW = await madeArchive.makePackage('tool', '1:1.1-1~a')
const KERNEL = await madeArchive.makePackage('linux-image-amd64', '6', 'linux-image-6 (= 6)')
const pinOf = ({ path, bytes }: typeof OLD): ListedPackage => ({
  ...{ name: 'tool', version: '1:1.0-1', architecture: 'amd64', dependsOn: [] },
  files: [{ path, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }],
})

let root = ''
const servers: madeArchive.FileServer[] = []
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'retrap-archive-'))
  for (const name of ['http_proxy', 'HTTP_PROXY', 'RETRAP_DEBIAN_MIRROR', 'RETRAP_DEBIAN_FILES']) vi.stubEnv(name, '')
  // Nothing listens on the discard port.
  vi.stubEnv('RETRAP_DEBIAN_SNAPSHOTS', 'http://127.0.0.1:9/archive')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers.splice(0)) server.close()
  await rm(root, { recursive: true })
})

async function serve(...args: Parameters<typeof madeArchive.serveFiles>): Promise<madeArchive.FileServer> {
  const server = await madeArchive.serveFiles(...args)
  servers.push(server)
  return server
}

const options = (mirror: string | undefined, more: Partial<ArchiveOptions> = {}): ArchiveOptions => ({
  ...{ directory: root, keys: [key], pinned: [pinOf(OLD)], ...(mirror !== undefined && { mirror }), ...more },
})
/** Fetches the tool. @returns its version */
const fetchTool = (mirror: string | undefined, more?: Partial<ArchiveOptions>): Promise<string> =>
  withPackages(options(mirror, more), undefined, async (packages) => {
    const folder = await packages.download(['tool'])
    const [file = ''] = (await readdir(folder)).filter((name) => name.endsWith('.deb'))
    return (await readControl(join(folder, file))).version
  })

describe('a pinned package', () => {
  test('comes from the mirror alone, and its progress is told', async () => {
    const mirror = await serve(madeArchive.mirrorFiles([OLD, NEW], sign))
    const told: [number, string][] = []
    const archive = await Archive.open(options(`${mirror.url}/debian/`))
    const folder = await archive.download(['tool'], (...one) => told.push(one))
    expect(await readFile(join(folder, basename(OLD.path)))).toEqual(OLD.bytes)
    expect(mirror.asked).toEqual([`/debian/${OLD.path}`])
    expect(told.at(-1)).toEqual([1, 'tool'])
  })

  const gone = (_path: string, response: ServerResponse): boolean => response.writeHead(404).end() !== undefined
  const changed = Buffer.from(OLD.bytes).fill('x', 200, 210)
  test.each<[string, ReadonlyMap<string, Buffer>, Parameters<typeof madeArchive.serveFiles>[1]]>([
    ['does not have', new Map(), undefined],
    ['has another file in place of', new Map([[OLD.path, changed]]), undefined],
    ['cuts', new Map([[OLD.path, OLD.bytes.subarray(0, 300)]]), undefined],
    ['has a longer file in place of', new Map([[OLD.path, Buffer.concat([OLD.bytes, OLD.bytes])]]), undefined],
    ['fails for', new Map(), (_path, response) => response.writeHead(503).end() !== undefined],
    [
      'does not send',
      new Map(),
      (_path, response) => response.writeHead(200, { 'content-length': '9' }).write('x') || true,
    ],
  ])('comes from the archive of old versions where the mirror %s it', async (_how, files, answer) => {
    const mirror = await serve(files, answer)
    const snapshots = await serve(new Map([[OLD.path, OLD.bytes]]))
    vi.stubEnv('RETRAP_DEBIAN_SNAPSHOTS', `${snapshots.url}/archive`)
    expect(await fetchTool(mirror.url, { stallMs: 300 })).toBe('1:1.0-1')
    expect(snapshots.asked[0]).toMatch(/^\/archive\/debian\/\d{8}T\d{6}Z\/pool\/main\/tool_1:1\.0-1_amd64\.deb$/)
  })

  test('is refused where every server has another file', async () => {
    const mirror = await serve(new Map([[OLD.path, changed]]))
    vi.stubEnv('RETRAP_DEBIAN_SNAPSHOTS', (await serve(new Map(), gone)).url)
    const refused = {
      code: 'ERR_FETCH',
      message: expect.stringMatching(/another file: its SHA-256 is \w{64}, expected /),
    }
    await expect(fetchTool(mirror.url)).rejects.toMatchObject(refused)
  })

  test('that both do not have any more is fetched in the version of today', async () => {
    const mirror = await serve(madeArchive.mirrorFiles([NEW], sign))
    expect(await fetchTool(mirror.url)).toBe('1:1.1-1~a')
  })

  test('comes through the proxy that the environment names', async () => {
    const proxy = await serve(new Map([[OLD.path, OLD.bytes]]))
    vi.stubEnv('http_proxy', proxy.url)
    expect(await fetchTool('http://mirror.invalid/debian')).toBe('1:1.0-1')
    vi.stubEnv('no_proxy', '127.0.0.1')
    const mirror = await serve(new Map([[OLD.path, OLD.bytes]]))
    expect(await fetchTool(mirror.url)).toBe('1:1.0-1')
    expect(proxy.asked).toEqual([`http://mirror.invalid/debian/${OLD.path}`])
  })

  test('that no server has in reach ends in a sentence that says what to do', async () => {
    const failed = fetchTool('http://127.0.0.1:9/debian')
    await expect(failed).rejects.toMatchObject({ code: 'ERR_NETWORK' })
    await expect(failed).rejects.toThrow(
      /tool cannot be fetched: http:\/\/127\.0\.0\.1:9\/debian\/.*: (?:connect|bad port).*; connect this host, or set http_proxy, or RETRAP_DEBIAN_MIRROR .* RETRAP_DEBIAN_FILES .*http:\/\/deb\.debian\.org\/debian\/pool\/main\/tool_/,
    )
  })

  test('comes from the folder that the user names, which is told what it lacks', async () => {
    vi.stubEnv('RETRAP_DEBIAN_FILES', join(root, 'files'))
    await expect(fetchTool(undefined)).rejects.toThrow(
      /files lacks files; it must hold .*: http:\/\/deb\.debian\.org\/debian\/pool\/main\/tool_1:1\.0-1_amd64\.deb$/,
    )
    await mkdir(join(root, 'files'))
    await writeFile(join(root, 'files', basename(OLD.path)), changed)
    await expect(fetchTool(undefined)).rejects.toThrow('is another file: its SHA-256 should be')
    await writeFile(join(root, 'files', basename(OLD.path)), OLD.bytes)
    expect(await fetchTool(undefined)).toBe('1:1.0-1')
    await expect((await Archive.open(options(undefined))).show('other')).rejects.toThrow('other is none of them')
  })
})

describe('a package that is not pinned', () => {
  const files = madeArchive.mirrorFiles([OLD, NEW, KERNEL], sign)
  const open = async (
    more: Partial<ArchiveOptions> = {},
    served: ReadonlyMap<string, Buffer> = files,
  ): Promise<Archive> => Archive.open(options((await serve(served)).url, { pinned: [], ...more }))

  test('is looked up in the signed lists, in its newest version', async () => {
    const archive = await open()
    expect(await archive.show('linux-image-amd64')).toMatchObject({ version: '6', dependsOn: ['linux-image-6'] })
    expect(await archive.show('tool')).toMatchObject({ version: '1:1.1-1~a' })
    await expect(archive.show('absent')).rejects.toThrow('Debian 12 has no package absent')
    expect(await fetchTool((await serve(files)).url, { isCurrent: true })).toBe('1:1.1-1~a')
  })

  const InRelease = 'dists/bookworm/InRelease'
  const Packages = 'dists/bookworm/main/binary-amd64/Packages.xz'
  const release = files.get(InRelease)!.toString()
  test.each<[string, ReadonlyMap<string, Buffer>, Partial<ArchiveOptions>, string]>([
    [
      'whose list is another',
      new Map([...files, [Packages, Buffer.from(files.get(Packages)!).fill('x', 40, 41)]]),
      {},
      'its SHA-256 is',
    ],
    [
      'whose release is changed',
      new Map([...files, [InRelease, Buffer.from(release.replace('Suite: ', 'Suite: x'))]]),
      {},
      'is not that of its text',
    ],
    [
      'whose release is not by Debian',
      files,
      { keys: DEBIAN_KEYS },
      `is signed by 0123456789ABCDEF; expected ${DEBIAN_KEYS[0]!.id}`,
    ],
    [
      'whose mirror is old',
      madeArchive.mirrorFiles([OLD], sign, 'Valid-Until: Thu, 26 Nov 2020 21:03:35 UTC\n'),
      {},
      'was valid until 2020-11-26',
    ],
  ])('is refused %s', async (_what, served, more, message) => {
    await expect((await open(more, served)).show('tool')).rejects.toMatchObject({
      ...{ code: 'ERR_FETCH', message: expect.stringContaining(message) },
    })
  })
})

describe('a release', () => {
  test.each(Object.keys(RELEASES) as ReleaseName[])(
    '%s has a pinned kernel with modules for both architectures',
    async (release) => {
      for (const architecture of ['amd64', 'arm64']) {
        const archive = await Archive.open({ directory: root, release, architectures: [architecture] })
        const { version } = await archive.show(`linux-image-${architecture}`)
        const names = await kernelPackages(archive, `linux-image-${architecture}`)
        // From Linux 7.2 on, the image, the modules and the lists of what is built in are packages of their own.
        const parts = names.map((name) => /^linux-(\w+)-\d/.exec(name)![1]).join()
        expect(parts).toBe(['backports', 'sid'].includes(release) ? 'base,binary,modules' : 'image')
        const pins = PINNED(release).filter((pin) => names.includes(pin.name))
        expect(pins.map((pin) => pin.version)).toEqual(names.map(() => version))
        for (const { files } of pins) expect(files[0]!.path).toContain(`_${architecture}.deb`)
      }
    },
  )

  test('that a mirror does not have is told by its name', async () => {
    const mirror = await serve(madeArchive.mirrorFiles([KERNEL], sign))
    const failed = withPackages({ ...options(mirror.url), release: '11' }, undefined, (packages) =>
      packages.download(['tool']),
    )
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_FETCH',
      message: `Debian 11 (bullseye) is not at ${mirror.url}; set RETRAP_DEBIAN_MIRROR to a mirror that has it`,
    })
  })

  // gpg --show-keys --with-colons --with-subkey-fingerprint /usr/share/keyrings/debian-archive-{bullseye,bookworm,trixie}-*.gpg
  test.each([
    ['0E98404D386FA1D9', '2029-01-15', 4096],
    ['54404762BBB6E853', '2029-01-15', 4096],
    ['605C66F00D6C9793', '2029-02-11', 4096],
    ['6ED0E7B82643E131', '2031-01-19', 4096],
    ['BDE6D2B9216EC7A8', '2031-01-19', 4096],
    ['F8D2585B8783D481', '2031-01-21', 256],
    ['78DBA3BC47EF2265', '2035-03-28', 4096],
    ['8E9F831205B4BA95', '2035-03-28', 4096],
    ['762F67A0B2C39DE4', '2033-03-22', 256],
  ])('is signed by the key %s until %s', (id, date, bits) => {
    const { expires, key: found } = DEBIAN_KEYS.find((one) => one.id === id)!
    expect(expires).toEqual(new Date(date))
    expect(8 * Buffer.from(found.n ?? found.x!, 'base64url').length).toBe(bits)
  })
})

test('versions are ordered as Debian orders them', () => {
  const versions = ['0~~', '0~', '0', '0a', '0+', '1.0~rc1-1', '1.0-1', '1.0-1+b1', '1.0-1.1', '1.9', '1.10-2-1', '1:0']
  expect(versions.toReversed().toSorted(compareVersions)).toEqual(versions)
})

describe('the files of a package', () => {
  const file = (): string => join(root, 'one.deb')
  const CONTENTS = {
    boot: { type: 'directory' },
    'boot/vmlinuz-6': 'kernel',
    'boot/other': 'o',
    x: randomBytes(20_000).toString('hex'),
  } as const

  test.each<[madeArchive.Compression]>([[''], ['.gz'], ['.xz'], ['.zst']])(
    'are unpacked from data.tar%s, all of them or some',
    async (how) => {
      await madeArchive.writeDeb(file(), 'Package: one\nVersion: 1\nSource: two (3)\n', CONTENTS, how)
      const list = async (...members: string[]): Promise<string[]> => {
        await unpackPackage(file(), join(root, 'to'), members)
        const names = await readdir(join(root, 'to'), { recursive: true })
        await rm(join(root, 'to'), { recursive: true })
        return names.toSorted()
      }
      expect(await list()).toEqual(['boot', 'boot/other', 'boot/vmlinuz-6', 'x'])
      expect(await list('./boot/vmlinuz-*', './x')).toEqual(['boot', 'boot/vmlinuz-6', 'x'])
      expect(await list('boot')).toEqual(['boot', 'boot/other', 'boot/vmlinuz-6'])
      await expect(list('./absent')).rejects.toMatchObject({
        code: 'ERR_FETCH',
        message: 'one.deb could not be unpacked: it has no ./absent',
      })
      expect(await readControl(file())).toMatchObject({ name: 'one', builtFrom: [{ name: 'two', version: '3' }] })
    },
  )

  test('keep links and modes, and replace those of another package', async () => {
    const links = {
      'bin/a': { type: 'symlink', linkname: '/absolute' },
      'bin/b': { type: 'link', linkname: './bin/tool' },
    } as const
    await madeArchive.writeDeb(file(), 'Package: one\n', { 'bin/tool': 'old' })
    await unpackPackage(file(), root)
    await madeArchive.writeDeb(file(), 'Package: one\n', { 'bin/tool': 'tool', ...links })
    await unpackPackage(file(), root)
    expect(await readFile(join(root, 'bin/b'), 'utf8')).toBe('tool')
  })

  test.each([
    ['upwards', { '../out': 'x' }, 'leads upwards'],
    ['through a link', { way: { type: 'symlink', linkname: '..' }, 'way/out': 'x' }, 'leads out of the folder'],
  ] as const)('do not lead out of the folder %s', async (_how, files, message) => {
    await madeArchive.writeDeb(file(), 'Package: one\n', files)
    await mkdir(join(root, 'to'))
    await expect(unpackPackage(file(), join(root, 'to'))).rejects.toThrow(message)
    expect(await readdir(root)).toEqual(['one.deb', 'to'])
  })

  test('that are damaged or cut short are refused', async () => {
    await madeArchive.writeDeb(file(), 'Package: one\n', CONTENTS)
    const whole = await readFile(file())
    for (const [bytes, message] of [
      [whole.subarray(0, 4), 'one.deb is not a Debian package'],
      [whole.subarray(0, 100), 'it has no data.tar'],
      [whole.subarray(0, -5000), 'could not be unpacked'],
      [Buffer.from(whole).fill(0xee, whole.length - 3000, whole.length - 2000), 'could not be unpacked'],
    ] as const) {
      await writeFile(file(), bytes)
      await expect(unpackPackage(file(), join(root, 'to'))).rejects.toThrow(message)
    }
  })
})
