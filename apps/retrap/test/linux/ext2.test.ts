/** Disks that we format: read by e2fsprogs, which are not ours. */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeExt2 } from '../../src/guests/linux/ext2.ts'
import { ext4Owners } from '../../src/guests/linux/ext4-blocks.ts'
import { makeExt4 } from '../../src/guests/linux/ext4.ts'
import { lackingPrograms } from '../support/programs.ts'

const lacking = lackingPrograms('e2fsck', 'debugfs')
const folder = temporaryFolder('ext2')

const BLOCKS = Array.from({ length: 2048 }, (_, block) => block)
const blockOf = (disk: Buffer, block: number): Buffer => disk.subarray(block * 4096, (block + 1) * 4096)
const ownersOf = (disk: Buffer): readonly string[] => BLOCKS.map(ext4Owners((block) => blockOf(disk, block)))

/** Bytes that tell from where they are. */
function pattern(bytes: number): Buffer {
  const all = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) all[i] = i * 7 + (i >> 8)
  return all
}

// Block numbers are in the inode up to 48 KiB, in a block of them up to 4 MiB more, and then in blocks of such blocks.
const LENGTHS = [0, 1, 4096, 48 << 10, (48 << 10) + 1, (48 << 10) + (4 << 20), (48 << 10) + (4 << 20) + 1, 9 << 20]

describe.skipIf(lacking.length > 0)('a disk that we format', () => {
  const image = join(folder, 'disk.img')
  const files = new Map(LENGTHS.map((bytes) => [`file of ${bytes} bytes`, pattern(bytes)]))
  // Entries of the root folder that are more than a block of it.
  for (let i = 0; i < 150; i++) files.set(`one of many files with names that are somewhat long, ${i}`, Buffer.from([i]))
  writeFileSync(image, writeExt2(files, 32 << 20))

  const run = (program: string, ...words: string[]): Buffer => execFileSync(program, words, { maxBuffer: 32 << 20 })

  test('has no faults, and all of its files', () => {
    expect(String(run('e2fsck', '-fn', image))).toContain('169/1024 files')
    for (const bytes of LENGTHS) {
      const name = `file of ${bytes} bytes`
      expect(run('debugfs', '-R', `cat "/${name}"`, image).equals(files.get(name)!)).toBe(true)
    }
    const listed = String(run('debugfs', '-R', 'ls -p /', image)).split('\n')
    const names = listed.flatMap((line) => line.split('/')[5] ?? [])
    expect(names.toSorted()).toEqual(['.', '..', 'lost+found', ...files.keys()].toSorted())
  })

  test.each([8, 130, 1500])('of %i MiB with a journal has no faults', async (size) => {
    const file = openSync(image, 'w')
    ftruncateSync(file, size << 20)
    await makeExt4(size << 20, (at, from) => Promise.resolve(void writeSync(file, from, 0, from.length, at)))
    closeSync(file)
    expect(String(run('e2fsck', '-fn', image))).toContain('11/')
    expect(String(run('debugfs', '-R', 'show_super_stats -h', image))).toContain('has_journal')
  })

  const debugfs = (...lines: readonly string[]): string =>
    spawnSync('debugfs', ['-wf-', image], { cwd: folder, input: lines.join('\n'), encoding: 'utf8' }).stdout
  function checkedOwners(): readonly string[] {
    const asked = [BLOCKS.slice(0, 1024), BLOCKS.slice(1024)].map((blocks) => `icheck ${blocks.join(' ')}`)
    const found = debugfs(...asked).matchAll(/^(\d+)\t(\d+)$/gm)
    const inodes = new Map(Array.from(found, ([, block, inode]) => [Number(block), inode!]))
    const names = debugfs(`ncheck ${[...new Set(inodes.values())].join(' ')}`).matchAll(/^(\d+)\t\/*(.+)$/gm)
    const paths = new Map(Array.from(names, ([, inode, path]) => [path!, inode!])).set('', '2').set('journal', '8')
    const owners = ownersOf(readFileSync(image))
    const own = owners.map((one) => paths.get(/^(?:(?:extents|attributes) of )?\/(.*?)\/?$/.exec(one)?.[1] ?? one))
    expect(own).toEqual(BLOCKS.map((block) => inodes.get(block)))
    return owners
  }

  test('has the owners of blocks that debugfs names, also by a log', async () => {
    const empty = Buffer.alloc(8 << 20)
    await makeExt4(empty.length, (at, from) => Promise.resolve(empty.set(from, at)))
    writeFileSync(image, empty)
    writeFileSync(join(folder, 'file'), Buffer.alloc(3 << 20, `1${'\0'.repeat(8191)}`))
    const many = Array.from({ length: 200 }, (_, i) => `symlink /many/${'long'.repeat(9)}-${i} ${'x'.repeat(i)}`)
    debugfs('feature ext_attr', 'mkdir /db', 'write file /db/wal', `ea_set /db/wal user.a ${'x'.repeat(999)}`)
    debugfs('mkdir /many', ...many, 'ln /db/wal /many/link')
    // Gives the folder a hash tree.
    spawnSync('e2fsck', ['-fyD', image])
    const [owners, before] = [checkedOwners(), readFileSync(image)]
    const some = ['superblock', 'descriptors', 'bitmaps', 'free', 'extents of /db/wal', 'attributes of /db/wal']
    expect(owners).toEqual(expect.arrayContaining([...some, 'inodes of /, /lost+found/, /db/, …']))
    debugfs('mkdir /late')
    const [late, after] = [checkedOwners(), readFileSync(image)]
    const changed = BLOCKS.filter((block) => block > 0 && !blockOf(before, block).equals(blockOf(after, block)))
    writeFileSync(join(folder, 'log'), Buffer.concat(changed.map((block) => blockOf(after, block))))
    writeFileSync(image, before)
    const [db, journal] = [owners.indexOf('/db/'), owners.indexOf('journal')]
    debugfs('jo', `jw -b ${changed.join()} log`, 'jc', 'jo', `jw -b ${db} file`, 'jc', 'jo', `jw -r ${db}`, 'jc')
    // The same log across the end of the journal, and without the commit block.
    const [logged, wrapped] = [readFileSync(image), readFileSync(image)]
    for (let i = 0; i < 16; i++)
      blockOf(logged, journal + 1 + i).copy(wrapped, (journal + 1 + ((i + 1020) % 1023)) << 12)
    wrapped.writeUInt32BE(1021, journal * 4096 + 28)
    expect([ownersOf(logged), ownersOf(wrapped)]).toEqual([late, late])
    blockOf(logged, journal + changed.length + 2).fill(0)
    expect(ownersOf(logged)).toEqual(owners)

    const flips = fc.array(fc.tuple(fc.nat((journal + 17) * 4096), fc.nat(255)), { maxLength: 300 })
    const survives = fc.property(flips, (all) => {
      ownersOf(all.reduce((damaged, [at, byte]) => damaged.fill(byte, at, at + 1), Buffer.from(wrapped)))
    })
    fc.assert(survives, { numRuns: 30 })
  })
})

test('files that have no room are an error', () => {
  expect(() => writeExt2(new Map([['a', pattern(1 << 20)]]), 1 << 20)).toThrow('are too few for its files')
  expect(() => writeExt2(new Map(), 129 << 20)).toThrow('at most 128 MiB')
})
