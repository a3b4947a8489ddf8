// Random layers, merged here and by umoci.
import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { openImageFile } from '@retrap/oci/node'
import { writeLayout } from '@retrap/tooling/container-images'
import { folderTree, openedTree, shareTree } from './share-tree.ts'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar, type Written } from '@retrap/tooling/tar-writer'

const folder = temporaryFolder('oci-merge')

const hasUmoci = hasProgram('umoci')

/** Names of directories, which files rarely have. */
const above = fc
  .array(fc.constantFrom('d', 'e'), { maxLength: 2 })
  .map((names) => names.map((name) => `${name}/`).join(''))
const leaf = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 1, arbitrary: fc.constantFrom('d', 'e') },
)
const path = fc.tuple(above, leaf).map((parts) => parts.join(''))
const directory = fc.tuple(above, fc.constantFrom('d', 'e')).map(([before, name]) => `${before}${name}/`)
const mode = fc.constantFrom(0o644, 0o755, 0o700, 0o4711)
const time = fc.integer({ min: 1, max: 1_000_000_000 })
const prefix = fc.constantFrom('', './', '/')
const written: fc.Arbitrary<Written> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ name: path, mode, time, content: fc.string({ maxLength: 5 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ name: directory, kind: fc.constant('5'), mode: fc.constantFrom(0o755, 0o700), time }),
  },
  // A slash at the end makes a directory of kind '\0', and none of kind '0'.
  { weight: 1, arbitrary: fc.record({ name: directory, kind: fc.constant('\0'), mode, time }) },
  {
    weight: 1,
    arbitrary: fc.record({ name: directory, kind: fc.constant('0'), mode, time, content: fc.string({ maxLength: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      name: path,
      kind: fc.constant('2'),
      time,
      link: fc.oneof(
        path,
        directory.map((each) => `/${each}`),
        fc.constant('../b'),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ name: path, kind: fc.constant('1'), link: path }) },
  { weight: 1, arbitrary: fc.record({ name: path, kind: fc.constant('6'), mode, time }) },
)
const whiteout = fc.oneof(
  path.map((each) => each.replace(/[^/]*$/, '.wh.$&')),
  directory.map((each) => `${each}.wh..wh..opq`),
)
/** Whiteouts come first, as the specification wants them written, and umoci needs them. */
const layer = fc
  .tuple(fc.array(whiteout, { maxLength: 2 }), fc.array(written, { minLength: 1, maxLength: 8 }), prefix)
  .map(([hidden, shown, before]) => {
    const seen = new Set<string>()
    // A path twice in a layer is against the specification.
    const once = shown.filter(({ name }) => !seen.has(name.replace(/\/$/, '')) && seen.add(name.replace(/\/$/, '')))
    // Nearly all hard links are to files that come before them.
    const linked = once.map((entry, i) => {
      const files = once.slice(0, i).filter(({ kind, name }) => kind !== '5' && name.length !== entry.link?.length)
      return entry.kind === '1' && files[0] !== undefined ? { ...entry, link: files[0].name } : entry
    })
    return [...hidden.map((name) => ({ name })), ...linked].map((entry) => ({
      ...entry,
      name: `${before}${entry.name}`,
    }))
  })

let count = 0

describe.skipIf(!hasUmoci)(`random layers${skipNote(hasUmoci, 'umoci')}`, () => {
  test('merge to what umoci unpacks, or are refused where umoci refuses them', async () => {
    const outcomes = { same: 0, refused: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (layers) => {
        const archives = layers.map((entries) => writeTar(entries))
        const image = writeLayout(join(folder, `image-${++count}`), archives)
        const bundle = join(folder, `bundle-${count}`)
        const theirs = unpacked(image, bundle)
        const ours = await openedTree({ path: image }, join(folder, 'cache')).catch(String)
        rmSync(image, { recursive: true })
        rmSync(bundle, { recursive: true, force: true })
        if (typeof theirs === 'string' || typeof ours === 'string') {
          outcomes.refused++
          expect(typeof ours, JSON.stringify([theirs, ours])).toBe(typeof theirs)
        } else {
          outcomes.same++
          expect(ours).toEqual(theirs)
        }
      }),
      { numRuns: slicedCount(160, 4) },
    )
    expect(outcomes.same).toBeGreaterThan(0)
  })
})

const hasSkopeo = hasProgram('skopeo')

describe.skipIf(!hasSkopeo)(`archives that skopeo writes${skipNote(hasSkopeo, 'skopeo')}`, () => {
  test.each(['docker-archive', 'oci-archive', 'dir of zstd'])('as %s have the files of the layout', async (form) => {
    const [etc, bin] = ['etc/', 'bin/'].map((name, i) => ({ name, kind: '5', mode: i === 0 ? 0o755 : 0o700 }))
    const below = writeTar([etc!, { name: 'etc/motd', content: 'hello' }, bin!])
    const layers = [below, writeTar([{ name: 'etc/.wh.motd' }, { name: 'etc/link', kind: '2', link: '../bin' }])]
    const image = writeLayout(join(folder, `layout of ${form}`), layers, { config: { Env: ['A=b'], Cmd: ['/bin/sh'] } })
    const path = join(folder, form)
    const to = form === 'dir of zstd' ? `oci:${path}:test` : `${form}:${path}:test:latest`
    const packing = form === 'dir of zstd' ? ['--dest-compress', '--dest-compress-format', 'zstd'] : []
    const policy = ['--insecure-policy', '--tmpdir', folder]
    execFileSync('skopeo', [...policy, 'copy', ...packing, `oci:${image}:test`, to], { stdio: 'pipe' })
    const options = { architecture: 'amd64', cache: { folder: join(folder, 'cache') } }
    const [theirs, ours] = [await openImageFile(path, options), await openImageFile(image, options)]
    expect(await shareTree(theirs.share)).toEqual(await shareTree(ours.share))
    expect(theirs.config).toEqual(ours.config)
    await Promise.all([theirs.close(), ours.close()])
  })
})

/** What umoci makes of an image; its words where it refuses it. */
function unpacked(image: string, bundle: string): ReturnType<typeof folderTree> | string {
  try {
    execFileSync('umoci', ['unpack', '--rootless', '--image', `${image}:test`, bundle], { stdio: 'pipe' })
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr ?? error)
  }
  chmodSync(join(bundle, 'rootfs'), 0o755)
  return folderTree(join(bundle, 'rootfs'))
}
