import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type OciImage, OciError } from '@retrap/oci'
import { openImageFile, type OpenImageFileOptions } from '@retrap/oci/node'
import { type ImageOptions, savedImage, writeLayout } from '@retrap/tooling/container-images'
import { contentOf, openedTree, shareTree } from './share-tree.ts'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar, type Written } from '@retrap/tooling/tar-writer'

const folder = temporaryFolder('oci-image')
const cache = join(folder, 'cache')

/** A manifest, or an index. */
interface Json {
  readonly layers: readonly object[]
  readonly manifests: readonly object[]
}

let count = 0
const freshFolder = (): string => join(folder, `image-${++count}`)

const open = (path: string, options: Partial<OpenImageFileOptions> = {}): Promise<OciImage> =>
  openImageFile(path, { architecture: 'amd64', cache: { folder: cache }, ...options })

const layout = (layers: readonly (readonly Written[])[], options?: ImageOptions): string =>
  writeLayout(
    freshFolder(),
    layers.map((layer) => writeTar(layer)),
    options,
  )

const errorOf = (opened: Promise<OciImage>): Promise<string> =>
  opened.then(
    () => 'none',
    (error: unknown) => (error instanceof OciError ? `${error.code} ${error.message}` : String(error)),
  )

const namesOf = async (path: string): Promise<string> => [...(await openedTree({ path }, cache)).keys()].join(' ')

const HELLO: readonly Written[] = [
  { name: 'etc/', kind: '5', mode: 0o755 },
  { name: 'etc/motd', content: 'hello' },
]

const files = (...names: readonly string[]): readonly Written[] => names.map((name) => ({ name }))
const link = (kind: 'hard' | 'soft', name: string, to: string) => ({
  name,
  kind: kind === 'hard' ? '1' : '2',
  link: to,
})

describe('layers (OCI image-spec, layer.md)', () => {
  const directories = ['a/', 'a/b/', 'a/b/c/'].map((name) => ({ name, kind: '5' }))
  const base: readonly Written[] = [...directories, { name: 'a/b/c/bar', content: 'bar' }]
  const marks = [...files('.wh..wh.aufs'), { name: '.wh..wh.plnk/', kind: '5' }, ...files('.wh..wh.plnk/1.2')]
  const through = [[link('soft', 'l', '/../a/b')], files('l/new', 'l/.wh.c')]
  test.each<[string, readonly (readonly Written[])[], string]>([
    ['an opaque whiteout hides what lies below', [base, files('a/b/c/foo', 'a/.wh..wh..opq')], 'a a/b a/b/c a/b/c/foo'],
    ['a whiteout hides a file of a lower layer', [base, files('a/b/.wh.c')], 'a a/b'],
    ['a whiteout leaves a file of its layer', [base, files('a/b/x', 'a/b/.wh.x')], 'a a/b a/b/c a/b/c/bar a/b/x'],
    ['a file and a directory take places', [base, files('a/b'), [{ name: 'a/b/', kind: '5' }]], 'a a/b'],
    ['links in a path are followed within the image', [base, ...through], 'a a/b a/b/new l'],
    ['marks of the file system of whiteouts are left out', [base, marks], 'a a/b a/b/c a/b/c/bar'],
  ])('%s', async (_, layers, names) => expect(await namesOf(layout(layers))).toBe(names))

  const own = [[...files('a'), link('hard', 'b', 'a')], [link('hard', 'b', 'b')]]
  const round = [link('soft', 'a', 'b'), link('soft', 'b', 'a'), ...files('a/x')]
  test.each<[string, readonly (readonly Written[])[], RegExp]>([
    ['a hard link to nothing', [[link('hard', 'a', 'b')]], /^ERR_LINK a: a hard link to 'b'/],
    ['a hard link to the file that it replaces', own, /^ERR_LINK b: a hard link to 'b'/],
    [
      'a hard link below itself',
      [base, [link('hard', 'a', 'a/b/c/bar')]],
      /^ERR_LINK a: a hard link to 'a\/b\/c\/bar'/,
    ],
    ['a hard link to a directory', [base, [link('hard', 'x', 'a/b')]], /^ERR_LINK x/],
    ['a path through a file', [files('a', 'a/b')], /^ERR_LINK a\/b: a path through a file/],
    ['links that go round', [round], /^ERR_LINK a: more than 40 links/],
    ['a whiteout of ..', [files('a/.wh...')], /^ERR_NAME a\/\.wh\.\.\.: a whiteout/],
    ['a root that is a file', [[link('soft', './', 'x')]], /^ERR_LINK \//],
  ])('%s is refused', async (_, layers, error) => expect(await errorOf(open(layout(layers)))).toMatch(error))

  test('hard links of several layers are one file, which lives as long as a name does', async () => {
    const image = await open(
      layout([[{ name: 'a', content: 'one' }], [{ name: 'b', kind: '1', link: 'a' }], [{ name: 'a', content: 'two' }]]),
    )
    const root = await image.share.root()
    const [a, b] = [await root.child('a'), await root.child('b')]
    expect([String(await contentOf(a)), String(await contentOf(b))]).toEqual(['two', 'one'])
    expect((await b.stat()).links).toBe(1)
    await image.close()
  })

  test('owners, modes, times and devices are those of the archive, and nothing can be changed', async () => {
    const pax = { mtime: '12.5', 'SCHILY.xattr.user.a': 'b' }
    const owned = { name: 'su', mode: 0o4755, uid: 1000, gid: 70_000, content: 'x', pax }
    const image = await open(layout([[owned, { name: 'null', kind: '3', mode: 0o666, device: [1, 3] }]]))
    const root = await image.share.root()
    const [su, node] = [await root.child('su'), await root.child('null')]
    const stat = { mode: 0o104755, uid: 1000, gid: 70_000, size: 1, links: 1, modifiedNs: 12_500_000_000n }
    expect(await su.stat()).toMatchObject(stat)
    expect(await node.stat()).toMatchObject({ mode: 0o020666, device: 0x103 })
    const error = (code: string) => expect.objectContaining({ code })
    expect(() => node.open({ read: true, write: false, truncate: false })).toThrow(error('EACCES'))
    expect(() => root.makeDirectory('d', 0o755)).toThrow(error('EROFS'))
    expect(() => su.open({ read: true, write: true, truncate: false })).toThrow(error('EROFS'))
    await image.close()
  })
})

describe('forms of images', () => {
  test.each(['tar', 'tar+gzip', 'tar+zstd'] as const)('a layout with layers of %s', async (compression) => {
    expect(await namesOf(layout([HELLO], { compression }))).toBe('etc etc/motd')
  })

  test('an archive of docker save, with its config', async () => {
    const path = freshFolder()
    const entrypoint = ['/bin/sh', '-c']
    const config = { Env: ['A=b', 'C'], User: 'app:staff', WorkingDir: '/srv', Entrypoint: entrypoint, Cmd: null }
    writeFileSync(path, savedImage([writeTar(HELLO), writeTar([{ name: 'etc/.wh.motd' }, { name: 'x' }])], { config }))
    const image = await open(path)
    expect([...(await shareTree(image.share)).keys()]).toEqual(['etc', 'x'])
    expect(image.config).toEqual({
      architecture: 'amd64',
      os: 'linux',
      env: ['A=b'],
      user: 'app:staff',
      workingDirectory: '/srv',
      entrypoint,
      command: [],
    })
    await image.close()
  })

  test.each([
    { given: 'an image', isIndex: false, bytes: 'x'.repeat(9), seen: 'etc etc/motd' },
    { given: 'images of several platforms', isIndex: true, bytes: 'x'.repeat(9), seen: 'etc etc/motd' },
    { given: 'a layer of other bytes', isIndex: false, bytes: 'y'.repeat(9), seen: /^ERR_DIGEST / },
  ])("a folder of skopeo's dir: with $given", async ({ isIndex, bytes, seen }) => {
    const [from, to] = [layout([[...HELLO, { name: `dir-${isIndex}`, content: 'x'.repeat(9) }]]), freshFolder()]
    const index = readFileSync(join(from, 'index.json'))
    const [manifest] = (JSON.parse(index.toString()) as { manifests: { digest: string }[] }).manifests
    mkdirSync(to)
    for (const hex of readdirSync(join(from, 'blobs/sha256'))) {
      const isManifest = manifest!.digest.endsWith(hex)
      const blob = readFileSync(join(from, 'blobs/sha256', hex), 'latin1').replace('x'.repeat(9), bytes)
      writeFileSync(join(to, isManifest ? (isIndex ? `${hex}.manifest.json` : 'manifest.json') : hex), blob, 'latin1')
    }
    if (isIndex) writeFileSync(join(to, 'manifest.json'), index)
    writeFileSync(join(to, 'version'), 'Directory Transport Version: 1.1\n')
    const found =
      typeof seen === 'string' ? namesOf(to).then((names) => names.replace(/dir-\w+ /, '')) : errorOf(open(to))
    expect(await found).toMatch(seen)
  })

  test('an image for another processor is refused with what there is', async () => {
    const path = layout([HELLO], { architecture: 'arm64' })
    expect(await errorOf(open(path))).toMatch(/ERR_PLATFORM .*no image for linux\/amd64, only for linux\/arm64/)
    await (await open(path, { architecture: 'arm64' })).close()
  })
})

describe('the cache', () => {
  test('has a compressed layer once, is read in place of the image, and nothing else is written', async () => {
    const own = join(freshFolder(), 'deep/cache')
    const path = layout([HELLO], { compression: 'tar+gzip' })
    const before = readdirSync(path, { recursive: true }).toSorted()
    await Promise.all([1, 2, 3].map(async () => (await open(path, { cache: { folder: own } })).close()))
    const files = readdirSync(own)
    expect(files.map((name) => name.replace(/^sha256-[0-9a-f]{64}/, '')).toSorted()).toEqual(['.json', '.tar'])
    // The layer is not read again.
    const blob = readdirSync(join(path, 'blobs/sha256')).map((name) => join(path, 'blobs/sha256', name))
    const layer = blob.find((name) => readFileSync(name)[0] === 0x1f)!
    rmSync(layer)
    const image = await open(path, { cache: { folder: own } })
    expect(String(await contentOf(await (await (await image.share.root()).child('etc')).child('motd')))).toBe('hello')
    await image.close()
    expect(readdirSync(path, { recursive: true })).toHaveLength(before.length - 1)
    // A cache that was damaged is made again, and the layer is asked for.
    const tar = files.find((name) => name.endsWith('.tar'))!
    truncateSync(join(own, tar), 512)
    expect(await errorOf(open(path, { cache: { folder: own } }))).toMatch(/^ERR_MISSING/)
  })

  test('is bounded', async () => {
    const own = freshFolder()
    for (let i = 0; i < 5; i++) {
      const path = layout([[{ name: `file-${i}`, content: 'x'.repeat(100_000) }]], { compression: 'tar+gzip' })
      await (await open(path, { cache: { folder: own, mostBytes: 250_000 } })).close()
    }
    const bytes = readdirSync(own).reduce((sum, name) => sum + statSync(join(own, name)).size, 0)
    expect(bytes).toBeLessThanOrEqual(250_000)
  })

  test('that cannot be written is told by a sentence', async () => {
    const file = freshFolder()
    writeFileSync(file, '')
    const error = `ERR_CACHE ${file}: the cache folder is a file`
    expect(await errorOf(open(layout([HELLO]), { cache: { folder: file } }))).toBe(error)
  })
})

describe('damaged images', () => {
  const blobOf = (path: string, test: (bytes: Buffer) => boolean): string =>
    readdirSync(join(path, 'blobs/sha256'))
      .map((name) => join(path, 'blobs/sha256', name))
      .find((name) => test(readFileSync(name)))!

  test.each(['tar', 'tar+gzip'] as const)('a layer of %s with another byte', async (compression) => {
    const path = layout([[{ name: `other-${compression}`, content: 'one' }]], { compression })
    const layer = blobOf(path, (bytes) => bytes[0] !== 0x7b)
    const bytes = readFileSync(layer)
    bytes[bytes.length - 6]! ^= 1
    writeFileSync(layer, bytes)
    expect(await errorOf(open(path))).toMatch(/^ERR_(?:DIGEST|DAMAGED) /)
    expect(readdirSync(cache).filter((name) => name.startsWith('new-'))).toEqual([])
  })

  test('a config with another byte, and one that is absent', async () => {
    const path = layout([HELLO])
    const config = blobOf(path, (bytes) => bytes.includes('rootfs'))
    writeFileSync(config, readFileSync(config, 'utf8').replace('linux', 'Linux'))
    expect(await errorOf(open(path))).toMatch(/^ERR_DIGEST .*its digest is/)
    rmSync(config)
    expect(await errorOf(open(path))).toMatch(/^ERR_MISSING .*is not in it/)
  })

  test('a bomb is unpacked up to the limit, and leaves nothing', async () => {
    const path = layout([[{ name: 'zeroes', content: Buffer.alloc(8 << 20) }]], { compression: 'tar+gzip' })
    const limits = { layerBytes: 1 << 20 }
    expect(await errorOf(open(path, { limits }))).toMatch(/^ERR_LIMIT .*more than 1048576 bytes/)
    expect(readdirSync(cache).filter((name) => name.startsWith('new-'))).toEqual([])
  })

  const text = (m: Json) => ({ ...m, layers: m.layers.map((layer) => ({ ...layer, mediaType: 'text/plain' })) })
  const first = (more: object) => (i: Json) => ({ manifests: [{ ...i.manifests[0], ...more }] })
  const many = (i: Json) => ({ manifests: Array(1001).fill(i.manifests[0]) })
  test.each<[string, 'manifest' | 'index', (value: Json) => object, RegExp]>([
    ['an unknown media type of a layer', 'manifest', text, /^ERR_UNSUPPORTED .*'text\/plain'/],
    ['an unknown media type of a manifest', 'index', first({ mediaType: 'a/b' }), /^ERR_UNSUPPORTED/],
    ['a digest that is a path', 'index', first({ digest: 'sha256:../../x' }), /^ERR_DAMAGED/],
    ['an unknown digest', 'index', first({ digest: 'md5:00' }), /^ERR_UNSUPPORTED/],
    ['fewer layers', 'manifest', (m) => ({ ...m, layers: [] }), /^ERR_DAMAGED .*1 layers, and the manifest 0/],
    ['an index of nothing', 'index', () => ({ manifests: [] }), /^ERR_MISSING .*it has no image/],
    ['an index that is a list', 'index', () => [], /^ERR_DAMAGED/],
    ['1001 manifests', 'index', many, /^ERR_LIMIT/],
  ])('%s', async (_, what, change, error) => {
    const path = writeLayout(freshFolder(), [writeTar(HELLO)], {}, (which, value) =>
      which === what ? change(value as Json) : value,
    )
    expect(await errorOf(open(path))).toMatch(error)
  })

  test.each(['tar', 'tar+gzip'] as const)(
    'limits hold over all layers together, of %s, whether the cache has them or not',
    async (compression) => {
      const layers: readonly (readonly Written[])[] = [
        [{ name: 'a' }, { name: 'hard', kind: '1', link: 'a' }, { name: 'soft', kind: '2', link: 'a' }],
        [{ name: '.wh.a' }, { name: 'deep/er/b' }, { name: 'hard' }, { name: '.wh.absent' }],
      ]
      const texts = layers.flat().flatMap(({ name, link = '' }) => [name, link])
      const exact = {
        layers: layers.length,
        // Two directories are made.
        entries: layers.flat().length + 2,
        nameBytes: [...texts, 'deep', 'er'].join('').length,
        layerBytes: layers.reduce((sum, layer) => sum + writeTar(layer).length, 0),
      }
      const path = layout(layers, { compression })
      for (const state of ['cold', 'warm'])
        for (const key of Object.keys(exact) as (keyof typeof exact)[]) {
          const folder = `${cache}-${compression}-${state}-${key}`
          const openIn = (limits: object) => open(path, { cache: { folder }, limits })
          if (state === 'warm') await (await openIn({})).close()
          const error = await errorOf(openIn({ ...exact, [key]: exact[key] - 1 }))
          expect(error, `${key} ${state}`).toMatch(/^ERR_LIMIT/)
          await (await openIn(exact)).close()
        }
    },
  )

  test('more than 128 layers', async () => {
    expect(await errorOf(open(layout(Array.from({ length: 129 }, () => HELLO))))).toMatch(/^ERR_LIMIT .*129 layers/)
  })

  test('a folder or file that is no image', async () => {
    const path = freshFolder()
    mkdirSync(path)
    expect(await errorOf(open(path))).toMatch(/^ERR_FORMAT .*it is no image/)
    expect(await errorOf(open(join(path, 'absent')))).toMatch(/^ERR_MISSING .*there is no such file/)
    expect(await errorOf(open('/dev/null'))).toMatch(/^ERR_FORMAT .*neither a file nor a folder/)
    writeFileSync(join(path, 'x.tar'), savedImage([writeTar(HELLO)]).subarray(0, 2048))
    expect(await errorOf(open(join(path, 'x.tar')))).toMatch(/^ERR_DAMAGED|^ERR_FORMAT/)
  })

  test('several images in one archive need a name', async () => {
    const path = freshFolder()
    writeLayout(path, [writeTar(HELLO)])
    const [first] = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')).manifests
    const annotations = { 'org.opencontainers.image.ref.name': 'other' }
    writeLayout(path, [writeTar([{ name: 'x' }])], {}, (what, value) =>
      what === 'index' ? { manifests: [first, { ...(value as Json).manifests[0], annotations }] } : value,
    )
    expect(await errorOf(open(path))).toMatch(/^ERR_CHOICE .*several images; name the wanted one: test, other/)
    expect(await errorOf(open(path, { name: 'none' }))).toMatch(/^ERR_CHOICE .*no image 'none'; it has test, other/)
    await (await open(path, { name: 'other' })).close()
  })
})
