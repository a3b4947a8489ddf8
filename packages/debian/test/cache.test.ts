import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir, hostname, tmpdir } from 'node:os'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cacheDirectory, keep, withScratchFolder, type KeepOptions } from '../src/index.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'retrap-cache-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(root, { recursive: true })
})

test.each([
  ['/c', '/c/retrap'],
  ['', join(homedir(), '.cache/retrap')],
])("with XDG_CACHE_HOME '%s' the cache is %s", (variable, folder) => {
  vi.stubEnv('XDG_CACHE_HOME', variable)
  expect(cacheDirectory()).toBe(folder)
})

describe('a folder of the cache', () => {
  /** Keeps a folder with a file and a link; returns the path of the file and how often it has been made. */
  async function kept(options: Partial<KeepOptions<object>> = {}) {
    let made = 0
    const make = async (folder: string): Promise<object> => {
      made++
      await mkdir(join(folder, 'bin'), { recursive: true })
      await writeFile(join(folder, 'bin/program'), 'content')
      await symlink('program', join(folder, 'bin/link'))
      return { version: 7 }
    }
    const { folder, data } = await keep({ root, name: 'a/b', make, ...options })
    expect(data).toEqual({ version: 7 })
    return { file: join(folder, 'bin/program'), made }
  }

  test('is made once', async () => {
    expect((await kept()).made).toBe(1)
    const again = await kept()
    expect(again.made).toBe(0)
    expect(await readFile(again.file, 'utf8')).toBe('content')
  })

  test('is made anew on request', async () => {
    await kept()
    expect((await kept({ refresh: true })).made).toBe(1)
  })

  test.each<[string, (file: string) => Promise<void>]>([
    ['is missing', (file) => rm(file)],
    ['is longer', (file) => writeFile(file, 'content!')],
    ['has another byte', (file) => writeFile(file, 'c0ntent')],
  ])('is made anew when a file of it %s', async (_what, change) => {
    const { file } = await kept()
    await change(file)
    expect((await kept({ trustTimes: true })).made).toBe(1)
    expect(await readFile(file, 'utf8')).toBe('content')
  })

  test('is read again although its times agree, unless they are trusted', async () => {
    const { file } = await kept()
    const { mtime } = await stat(file)
    await writeFile(file, 'c0ntent')
    await utimes(file, mtime, mtime)
    await rm(join(root, 'a/b/manifest.json')).then(() => kept())
    const times = await stat(file)
    await writeFile(file, 'c0ntent')
    // Whole milliseconds survive utimes, so the record is given them too.
    const manifest = join(root, 'a/b/manifest.json')
    const text = await readFile(manifest, 'utf8')
    await utimes(file, times.mtime, times.mtime)
    await writeFile(manifest, text.replaceAll(String(times.mtimeMs), String(times.mtime.getTime())))
    expect((await kept({ trustTimes: true })).made).toBe(0)
    expect((await kept()).made).toBe(1)
  })

  test('that cannot be made leaves nothing, and the old one stays', async () => {
    const { file } = await kept()
    const make = (): Promise<object> => Promise.reject(new Error('no network'))
    await expect(kept({ refresh: true, make })).rejects.toThrow('no network')
    expect(await readdir(root)).toEqual(['a'])
    expect(await readFile(file, 'utf8')).toBe('content')
  })

  test.skipIf(process.platform === 'win32')('of many files is checked where few may be open', async () => {
    await keep({
      root,
      name: 'many',
      make: async (folder) => {
        await mkdir(folder)
        await Promise.all(Array.from({ length: 300 }, (_, i) => writeFile(join(folder, String(i)), `${i}`)))
        return {}
      },
    })
    const module = JSON.stringify(new URL('../src/cache.ts', import.meta.url))
    const program = `import { find } from ${module}; console.log(await find(${JSON.stringify(root)}, 'many'))`
    const script = 'ulimit -n 128; exec "$0" --conditions=retrap-source --input-type=module --eval "$1"'
    const { stdout, stderr } = spawnSync('sh', ['-c', script, process.execPath, program], { encoding: 'utf8' })
    expect({ stdout, stderr }).toEqual({ stdout: `${join(root, 'many')}\n`, stderr: '' })
  })

  test('that two make at the same time is there once', async () => {
    await Promise.all([kept(), kept()])
    expect((await kept()).made).toBe(0)
    expect(await readdir(root)).toEqual(['a'])
  })
})

describe('a cache that cannot be used', () => {
  test('is named, with the reason', async () => {
    const file = join(root, 'file')
    await writeFile(file, '')
    const make = (): Promise<object> => Promise.resolve({})
    await expect(keep({ root: file, name: 'a', make })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_CACHE', message: expect.stringContaining(`${file} cannot be used: it is`) }),
    )
    await expect(keep({ root: join(file, 'b'), name: 'a', make })).rejects.toThrow('a part of its path is a file')
  })

  test.skipIf(!existsSync('/proc/self'))('is where no folder can be made', async () => {
    const work = (): Promise<void> => Promise.resolve()
    await expect(withScratchFolder('/proc/retrap/cache', work)).rejects.toThrow('it cannot be made')
    // A link that leads nowhere is neither a folder nor absent.
    await symlink(join(root, 'nowhere'), join(root, 'link'))
    await expect(withScratchFolder(join(root, 'link', 'cache'), work)).rejects.toThrow('it cannot be made')
  })

  test.skipIf(process.getuid?.() === 0)('may not be written', async () => {
    await chmod(root, 0o500)
    await expect(withScratchFolder(root, () => Promise.resolve())).rejects.toThrow('it may not be written')
    await chmod(root, 0o700)
  })
})

describe('scratch folders', () => {
  const DAY_S = 24 * 3600
  const host = hostname().replaceAll(/[^A-Za-z0-9_]/g, '_')

  test('of killed processes are removed, and those of others stay', async () => {
    // A process that has ended, so that nobody has its number.
    const { pid } = spawnSync('true')
    const recent = 'fetch-elsewhere.1-Abc123'
    const stay = [`fetch-${host}.${process.ppid}-Abc123`, `fetch-elsewhere.${pid}-Abc123`, 'fetch-Abc123', recent]
    const old = 'fetch-elsewhere.1-Old123'
    for (const name of [...stay, old, `fetch-${host}.${pid}-Xyz123`]) await mkdir(join(root, name))
    const ago = (seconds: number): Date => new Date(Date.now() - 1000 * seconds)
    await utimes(join(root, old), ago(DAY_S + 5), ago(DAY_S + 5))
    await utimes(join(root, recent), ago(DAY_S - 60), ago(DAY_S - 60))
    const seen = await withScratchFolder(root, async (scratch) => {
      await writeFile(join(scratch, 'file'), '')
      return (await readdir(root)).length
    })
    expect(seen).toBe(stay.length + 1)
    expect((await readdir(root)).sort()).toEqual(stay.sort())
  })
})
