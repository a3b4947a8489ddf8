/** Disks that we format: read by e2fsprogs, which are not ours. */
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { writeExt2 } from '../../src/guests/linux/ext2.ts'
import { makeExt4 } from '../../src/guests/linux/ext4.ts'
import { lackingPrograms } from '../support/programs.ts'

const lacking = lackingPrograms('e2fsck', 'debugfs')
const folder = temporaryFolder('ext2')

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
})

test('files that have no room are an error', () => {
  expect(() => writeExt2(new Map([['a', pattern(1 << 20)]]), 1 << 20)).toThrow('are too few for its files')
  expect(() => writeExt2(new Map(), 129 << 20)).toThrow('at most 128 MiB')
})
