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

describe('layers (OCI image-spec, layer.md)', () => {
  const base: readonly Written[] = [
    { name: 'a/', kind: '5' },
    { name: 'a/b/', kind: '5' },
    { name: 'a/b/c/', kind: '5' },
    { name: 'a/b/c/bar', content: 'bar' },
  ]
  test.each<{ given: string; layers: readonly (readonly Written[])[]; names: string }>([
    {
      given: 'an opaque whiteout hides what lies below, wherever it stands',
      layers: [base, [{ name: 'a/b/c/foo' }, { name: 'a/.wh..wh..opq' }]],
      names: 'a a/b a/b/c a/b/c/foo',
    },
    { given: 'a whiteout hides a file of a lower layer', layers: [base, [{ name: 'a/b/.wh.c' }]], names: 'a a/b' },
    {
      given: 'a whiteout leaves a file of its own layer',
      layers: [base, [{ name: 'a/b/x' }, { name: 'a/b/.wh.x' }]],
      names: 'a a/b a/b/c a/b/c/bar a/b/x',
    },
    {
      given: 'a file takes the place of a directory, and a directory that of a file',
      layers: [base, [{ name: 'a/b' }], [{ name: 'a/b/', kind: '5' }]],
      names: 'a a/b',
    },
    {
      given: 'links in the middle of a path are followed within the image',
      layers: [base, [{ name: 'l', kind: '2', link: '/../a/b' }], [{ name: 'l/new' }, { name: 'l/.wh.c' }]],
      names: 'a a/b a/b/new l',
    },
    {
      given: 'marks of the file system that whiteouts come from are left out',
      layers: [base, [{ name: '.wh..wh.aufs' }, { name: '.wh..wh.plnk/', kind: '5' }, { name: '.wh..wh.plnk/1.2' }]],
      names: 'a a/b a/b/c a/b/c/bar',
    },
  ])('$given', async ({ layers, names }) => expect(await namesOf(layout(layers))).toBe(names))

  test.each<{ given: string; layers: readonly (readonly Written[])[]; error: RegExp }>([
    {
      given: 'a hard link to nothing',
      layers: [[{ name: 'a', kind: '1', link: 'b' }]],
      error: /^ERR_LINK a: a hard link to 'b'/,
    },
    {
      given: 'a hard link to the file that it replaces',
      layers: [[{ name: 'a' }, { name: 'b', kind: '1', link: 'a' }], [{ name: 'b', kind: '1', link: 'b' }]],
      error: /^ERR_LINK b: a hard link to 'b'/,
    },
    {
      given: 'a hard link to a file below the directory that it replaces',
      layers: [base, [{ name: 'a', kind: '1', link: 'a/b/c/bar' }]],
      error: /^ERR_LINK a: a hard link to 'a\/b\/c\/bar'/,
    },
    {
      given: 'a hard link to a directory',
      layers: [base, [{ name: 'x', kind: '1', link: 'a/b' }]],
      error: /^ERR_LINK x/,
    },
    {
      given: 'a path through a file',
      layers: [[{ name: 'a' }, { name: 'a/b' }]],
      error: /^ERR_LINK a\/b: a path through a file/,
    },
    {
      given: 'links that go round',
      layers: [[{ name: 'a', kind: '2', link: 'b' }, { name: 'b', kind: '2', link: 'a' }, { name: 'a/x' }]],
      error: /^ERR_LINK a: more than 40 links/,
    },
    { given: 'a whiteout of ..', layers: [[{ name: 'a/.wh...' }]], error: /^ERR_NAME a\/\.wh\.\.\.: a whiteout/ },
    { given: 'a root that is a file', layers: [[{ name: './', kind: '2', link: 'x' }]], error: /^ERR_LINK \// },
  ])('$given is refused', async ({ layers, error }) => expect(await errorOf(open(layout(layers)))).toMatch(error))

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
    const image = await open(
      layout([
        [
          {
            name: 'su',
            mode: 0o4755,
            uid: 1000,
            gid: 70_000,
            content: 'x',
            pax: { mtime: '12.5', 'SCHILY.xattr.user.a': 'b' },
          },
          { name: 'null', kind: '3', mode: 0o666, device: [1, 3] },
        ],
      ]),
    )
    const root = await image.share.root()
    expect(await (await root.child('su')).stat()).toMatchObject({
      mode: 0o104755,
      uid: 1000,
      gid: 70_000,
      size: 1,
      links: 1,
      modifiedNs: 12_500_000_000n,
    })
    const node = await root.child('null')
    expect(await node.stat()).toMatchObject({ mode: 0o020666, device: 0x103 })
    expect(() => node.open({ read: true, write: false, truncate: false })).toThrow(
      expect.objectContaining({ code: 'EACCES' }),
    )
    expect(() => root.makeDirectory('d', 0o755)).toThrow(expect.objectContaining({ code: 'EROFS' }))
    const su = await root.child('su')
    expect(() => su.open({ read: true, write: true, truncate: false })).toThrow(
      expect.objectContaining({ code: 'EROFS' }),
    )
    await image.close()
  })
})

describe('forms of images', () => {
  test.each(['tar', 'tar+gzip', 'tar+zstd'] as const)('a layout with layers of %s', async (compression) => {
    expect(await namesOf(layout([HELLO], { compression }))).toBe('etc etc/motd')
  })

  test('an archive of docker save, with its config', async () => {
    const path = freshFolder()
    const config = {
      Env: ['A=b', 'C'],
      User: 'app:staff',
      WorkingDir: '/srv',
      Entrypoint: ['/bin/sh', '-c'],
      Cmd: null,
    }
    writeFileSync(path, savedImage([writeTar(HELLO), writeTar([{ name: 'etc/.wh.motd' }, { name: 'x' }])], { config }))
    const image = await open(path)
    expect([...(await shareTree(image.share)).keys()]).toEqual(['etc', 'x'])
    expect(image.config).toEqual({
      architecture: 'amd64',
      os: 'linux',
      env: ['A=b'],
      user: 'app:staff',
      workingDirectory: '/srv',
      entrypoint: ['/bin/sh', '-c'],
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
