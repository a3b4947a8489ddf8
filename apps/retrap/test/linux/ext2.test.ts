/** Disks that we format: read by e2fsprogs, which are not ours. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { writeExt2 } from '../../src/guests/linux/ext2.ts'
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

  test('has no faults', () => {
    expect(execFileSync('e2fsck', ['-fn', image], { encoding: 'utf8', stdio: 'pipe' })).toContain('169/1024 files')
  })

  test.each(LENGTHS)('has a file of %i bytes', (bytes) => {
    const found = execFileSync('debugfs', ['-R', `cat "/file of ${bytes} bytes"`, image], {
      maxBuffer: 32 << 20,
      stdio: 'pipe',
    })
    expect(found.equals(files.get(`file of ${bytes} bytes`)!)).toBe(true)
  })

  test('has all files of its root folder', () => {
    const listed = execFileSync('debugfs', ['-R', 'ls -p /', image], { encoding: 'utf8', stdio: 'pipe' })
    const names = listed.split('\n').flatMap((line) => line.split('/')[5] ?? [])
    expect(names.toSorted()).toEqual(['.', '..', 'lost+found', ...files.keys()].toSorted())
  })
})

test('files that have no room are an error', () => {
  expect(() => writeExt2(new Map([['a', pattern(1 << 20)]]), 1 << 20)).toThrow('are too few for its files')
  expect(() => writeExt2(new Map(), 129 << 20)).toThrow('at most 128 MiB')
})
