/** Owners of blocks, compared with those that debugfs tells. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeExt4 } from '../../src/guests/linux/ext4.ts'
import { ext4Owners } from '../../src/guests/linux/ext4-blocks.ts'
import { lackingPrograms } from '../support/programs.ts'

const BLOCKS = 4096
const folder = temporaryFolder('ext4-blocks')
const [image, replayed, commands] = ['disk.img', 'replayed.img', 'commands'].map((name) => join(folder, name))

const ownersOf = (bytes: Uint8Array): ((block: number) => string) =>
  ext4Owners((block) => bytes.subarray(block * 4096, (block + 1) * 4096))

function debugfs(disk: string, ...lines: readonly string[]): string {
  writeFileSync(commands, lines.join('\n'))
  return execFileSync('debugfs', ['-w', '-f', commands, disk], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
}

/** Lines of the owners that debugfs names otherwise. */
function differences(disk: string, owner: (block: number) => string): readonly string[] {
  const all = Array.from({ length: BLOCKS }, (_, block) => block)
  const found = debugfs(
    disk,
    ...Array.from({ length: 16 }, (_, i) => `icheck ${all.slice(256 * i, 256 * i + 256).join(' ')}`),
  )
  const inodes = new Map(Array.from(found.matchAll(/^(\d+)\t(\d+)$/gm), ([, block, inode]) => [Number(block), inode!]))
  const names = debugfs(disk, `ncheck ${[...new Set(inodes.values())].join(' ')}`)
  const paths = new Map(
    Array.from(names.matchAll(/^(\d+)\t(.+)$/gm), ([, inode, path]) => [path!.replace(/^\/+/, ''), inode]),
  )
  return all.flatMap((block) => {
    const own = owner(block)
    const path = /^(?:(?:extents|attributes) of )?\/(.*?)\/?$/.exec(own)?.[1]
    const inode = path === undefined ? (own === 'journal' ? '8' : undefined) : path === '' ? '2' : paths.get(path)
    return inodes.get(block) === inode ? [] : [`${block}: ${own}, of ${inodes.get(block)}`]
  })
}

const lacking = lackingPrograms('e2fsck', 'debugfs')
describe.skipIf(lacking.length > 0)(
  `owners of blocks${lacking.length > 0 ? ` (there is no ${lacking.join()})` : ''}`,
  () => {
    beforeAll(async () => {
      const bytes = Buffer.alloc(BLOCKS * 4096)
      await makeExt4(bytes.length, (at, from) => Promise.resolve(void bytes.set(from, at)))
      writeFileSync(image!, bytes)
      writeFileSync(join(folder, 'large'), Buffer.alloc(1 << 20, 1))
      const sparse = Buffer.alloc(6 << 20)
      for (let at = 0; at < sparse.length; at += 8192) sparse[at] = 1
      writeFileSync(join(folder, 'sparse'), sparse)
      writeFileSync(join(folder, 'value'), Buffer.alloc(1000, 7))
      const many = Array.from(
        { length: 200 },
        (_, i) => `symlink /many/${`a name that is somewhat long ${i}`.replaceAll(' ', '-')} x`,
      )
      debugfs(
        image!,
        'mkdir /db',
        'write large /db/t.sqlite',
        'write sparse /sparse',
        'mkdir /many',
        ...many,
        'ln /db/t.sqlite /many/link',
        `symlink /text ${'x'.repeat(100)}`,
        'ea_set -f value /db/t.sqlite user.a',
      )
    })

    test('a disk', () => {
      const owner = ownersOf(readFileSync(image!))
      const all = new Set(Array.from({ length: BLOCKS }, (_, i) => owner(i)))
      expect([...all].slice(0, 40)).toEqual([])
      expect(differences(image!, owner)).toEqual([])
    })
  },
)
