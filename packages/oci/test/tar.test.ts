import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS, memoryFile, OciError, readTar, type TarEntry } from '@retrap/oci'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar, type Written } from '@retrap/tooling/tar-writer'

const folder = temporaryFolder('oci-tar')

const read = (bytes: Uint8Array): Promise<readonly TarEntry[]> => readTar(memoryFile('test', bytes), DEFAULT_LIMITS)
const codeOf = (bytes: Uint8Array): Promise<string> =>
  read(bytes).then(
    () => 'none',
    (error: unknown) => (error instanceof OciError ? error.code : String(error)),
  )

const hasTar = hasProgram('tar')

describe.skipIf(!hasTar)(`archives of GNU tar${skipNote(hasTar, 'tar')}`, () => {
  const long = `${'directory-with-a-name/'.repeat(12)}${'f'.repeat(200)}`
  const tree = join(folder, 'tree')
  mkdirSync(join(tree, long, '..'), { recursive: true })
  writeFileSync(join(tree, long), 'far away')
  writeFileSync(join(tree, 'short'), 'near', { mode: 0o640 })
  writeFileSync(join(tree, 'Főtanúsítvány'), '')
  mkdirSync(join(tree, 'empty'))
  symlinkSync(`/${'x'.repeat(150)}`, join(tree, 'link'))
  linkSync(join(tree, 'short'), join(tree, 'hard'))
  execFileSync('mkfifo', [join(tree, 'pipe')])
  utimesSync(join(tree, 'short'), 0, 1_234_567.891)

  test.each(['gnu', 'oldgnu', 'posix'])(
    'in the format %s have the names, contents and times of the folder',
    async (format) => {
      const bytes = execFileSync('tar', ['-c', '--sort=name', `--format=${format}`, '-C', tree, '.'])
      const entries = new Map((await read(bytes)).map((entry) => [entry.path, entry]))
      const far = entries.get(long)!
      expect(bytes.toString('latin1', far.offset, far.offset + far.size)).toBe('far away')
      expect(entries.get('hard')).toMatchObject({ mode: 0o100640, size: 4 })
      expect(entries.get('short')).toMatchObject({ mode: 0, target: 'hard' })
      expect(entries.get('link')).toMatchObject({ mode: 0o120777, target: `/${'x'.repeat(150)}` })
      expect(entries.get('empty')!.mode & 0o170000).toBe(0o040000)
      expect(entries.get('pipe')!.mode & 0o170000).toBe(0o010000)
      expect(entries.get('Főtanúsítvány')).toMatchObject({ size: 0 })
      const { seconds, nanoseconds } = entries.get('hard')!
      expect(seconds).toBe(1_234_567)
      if (format === 'posix') expect(Math.round(nanoseconds / 1e6)).toBe(891)
    },
  )

  test('before POSIX tell directories by the ends of their names', async () => {
    const bytes = execFileSync('tar', ['-c', '--format=v7', '-C', tree, 'empty', 'short'])
    const seen = (await read(bytes)).flatMap(({ path, mode }) => [path, mode & 0o170000])
    expect(seen).toEqual(['empty', 0o040000, 'short', 0o100000])
  })

  test.each(['gnu', 'posix'])('with sparse files are refused in the format %s', async (format) => {
    const file = join(folder, `sparse-${format}`)
    writeFileSync(file, '')
    truncateSync(file, 4 << 20)
    const bytes = execFileSync('tar', ['-cS', `--format=${format}`, '-C', folder, `sparse-${format}`])
    expect(await codeOf(bytes)).toBe('ERR_UNSUPPORTED')
  })
})

test('numbers of devices are those that Linux passes to programs', async () => {
  const nvme = { name: 'nvme', kind: '4', device: [259, 0x12345] } as const
  const seen = await read(writeTar([{ name: 'null', kind: '3', mode: 0o666, device: [1, 3] }, nvme]))
  // glibc, sys/sysmacros.h: the same numbers in 64 bits
  expect(seen.flatMap(({ mode, device }) => [mode, device])).toEqual([0o020666, 0x103, 0o060644, 0x12310345])
})

describe('wrong archives are refused', () => {
  const early = writeTar([{ name: 'a', content: 'x'.repeat(3000) }]).subarray(0, 2048)
  const wrongSum = writeTar([{ name: 'a', content: 'abc' }])
  wrongSum.write('b', 0)
  test.each<[string, Uint8Array | readonly Written[], string]>([
    ['a wrong sum', wrongSum, 'ERR_DAMAGED'],
    ['text', Buffer.from('no archive at all. '.repeat(40)), 'ERR_DAMAGED'],
    ['content that ends early', early, 'ERR_DAMAGED'],
    ['..', [{ name: 'a/../../etc/passwd' }], 'ERR_NAME'],
    ['.. in a hard link', [{ name: 'a', kind: '1', link: '../x' }], 'ERR_NAME'],
    ['.. in a pax header', [{ name: 'a', pax: { path: '../a' } }], 'ERR_NAME'],
    ['a zero in a name', [{ name: 'a', pax: { path: 'a\0b' } }], 'ERR_NAME'],
    ['a name of 256 bytes', [{ name: 'n'.repeat(256) }], 'ERR_NAME'],
    ['a path of 4096 bytes', [{ name: 'n/'.repeat(2049) }], 'ERR_NAME'],
    ['an unknown kind', [{ name: 'a', kind: 'Z' }], 'ERR_UNSUPPORTED'],
    ['an owner of 33 bits', [{ name: 'a', pax: { uid: '4294967296' } }], 'ERR_UNSUPPORTED'],
    ['a size that is no number', [{ name: 'a', pax: { size: '-1' } }], 'ERR_DAMAGED'],
    ['a pax header of 2 MiB', [{ name: 'a', pax: { comment: 'x'.repeat(2 << 20) } }], 'ERR_LIMIT'],
    ['a wrong length', [{ name: 'x', kind: 'x', content: '99 path=a\n' }, { name: 'a' }], 'ERR_DAMAGED'],
  ])('%s', async (_, given, code) =>
    expect(await codeOf(given instanceof Uint8Array ? given : writeTar(given))).toBe(code),
  )
})

test('names are taken from the root of the image', async () => {
  const link = { name: 'a', kind: '1', link: '/etc/motd' }
  const seen = await read(writeTar([{ name: './', kind: '5' }, { name: '/etc//./motd' }, link]))
  expect(seen.flatMap(({ path, target }) => [path, target])).toEqual(['', '', 'etc/motd', '', 'a', 'etc/motd'])
})

test('any change of an archive gives entries, or a typed error', async () => {
  const bytes = writeTar([
    { name: 'a', content: 'abc' },
    { name: 'd/', kind: '5' },
    { name: 'l'.repeat(120), kind: '2', link: 'a'.repeat(120), pax: { mtime: '1.5' } },
  ])
  const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255))
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 4 }), fc.nat(bytes.length), async (changes, length) => {
      const other = Buffer.from(bytes.subarray(0, length))
      for (const [at, byte] of changes) if (at < other.length) other[at] = byte
      expect(await codeOf(other)).toMatch(/^(?:none|ERR_(?:DAMAGED|NAME|UNSUPPORTED|LIMIT))$/)
    }),
    { numRuns: 500 },
  )
})

test('entries and names are bounded', async () => {
  const bytes = writeTar(Array.from({ length: 20 }, (_, i) => ({ name: `file-${i}` })))
  const file = memoryFile('test', bytes)
  await expect(readTar(file, { ...DEFAULT_LIMITS, entries: 19 })).rejects.toMatchObject({ code: 'ERR_LIMIT' })
  await expect(readTar(file, { ...DEFAULT_LIMITS, nameBytes: 100 })).rejects.toMatchObject({ code: 'ERR_LIMIT' })
  expect(await readTar(file, { ...DEFAULT_LIMITS, entries: 20 })).toHaveLength(20)
})
