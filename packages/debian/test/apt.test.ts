import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { Apt } from '../src/index.ts'
import { fake, root } from './support/fake-programs.ts'

describe('apt', () => {
  beforeEach(async () => {
    await fake('apt-cache', 'exit 0')
  })

  test.each([
    ['says nothing', 'sleep 60'],
    ['reports the same again and again', 'while sleep 0.2; do echo dlstatus:1:1:x >&3; done'],
  ])('that %s makes no progress and is ended', async (_how, script) => {
    await fake('apt-get', script)
    const started = performance.now()
    await expect(Apt.open({ directory: join(root(), 'apt'), archive: 'host', stallMs: 1000 })).rejects.toThrow(
      'apt could not get package lists from Debian: it made no progress for 1 s',
    )
    expect(performance.now() - started).toBeLessThan(20_000)
  })

  test.each([
    ['writes a file', 'echo x >> "$0.file"', '"$0.file"'],
    ['reports that it went on', 'echo dlstatus:1:$i:x >&3', ''],
    ['writes to both outputs', 'echo x; echo y >&2', ''],
  ])('that %s now and then may go on', async (_how, progress) => {
    const step = progress.replace('"$0.file"', join(root(), 'apt', 'file'))
    await fake('apt-get', `for i in 1 2 3 4 5 6; do sleep 0.5; ${step}; done`)
    await Apt.open({ directory: join(root(), 'apt'), archive: 'host', stallMs: 2000 })
  })

  test('that finds the disk full says so', async () => {
    await fake(
      'apt-get',
      'echo "E: Failed to fetch x  Write error - write (28: No space left on device)" >&2; exit 100',
    )
    await expect(Apt.open({ directory: join(root(), 'apt') })).rejects.toThrow('no space is left on the disk')
  })

  test('downloads packages into a folder of its own', async () => {
    await fake('apt-get', 'pwd > "$0.where"; case "$*" in *download*) : > one_1_amd64.deb;; esac')
    const directory = join(root(), 'apt')
    const apt = await Apt.open({ directory, archive: 'host' })
    expect(await apt.download(['one'])).toBe(join(directory, 'packages'))
    expect(await readdir(join(directory, 'packages'))).toEqual(['one_1_amd64.deb'])
    expect((await readFile(join(root(), 'bin/apt-get.where'), 'utf8')).trim()).toBe(join(directory, 'packages'))
  })

  test('tells how far it is, of package lists and of packages', async () => {
    const reports = ['dlstatus:1:12.5:a', 'pmstatus:x:99:b', 'dlstatus:2:100:c', 'noise']
    await fake('apt-get', reports.map((line) => `echo ${line} >&3`).join('; '))
    const seen: [number, string][] = []
    const onProgress = (fraction: number, what: string): void => void seen.push([fraction, what])
    const apt = await Apt.open({ directory: join(root(), 'apt'), archive: 'host' }, onProgress)
    await apt.download(['one', 'two'], onProgress)
    expect(seen).toEqual([
      [0.125, 'package lists'],
      [1, 'package lists'],
      [0.125, 'one'],
      [1, 'one'],
    ])
  })

  test('is missing on a host without', async () => {
    vi.stubEnv('PATH', '/nonexistent')
    await expect(Apt.open({ directory: join(root(), 'apt') })).rejects.toMatchObject({ code: 'ERR_NO_APT' })
    expect(await readdir(root())).toEqual(['bin'])
  })
})
