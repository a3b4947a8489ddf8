import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { keep } from '@retrap/debian'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fetchInstaller, fetchLinux } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const NAME = 'linux-image-cloud-amd64'
// Nothing listens on the discard port.
const NO_MIRROR = 'http://127.0.0.1:9/debian'

let cacheDirectory = ''
beforeEach(() => (cacheDirectory = temporaryFolder('cache')))
afterEach(() => vi.unstubAllEnvs())

describe("Debian's files", () => {
  const manifest = { packageName: 'linux-image-6.1.0-1', version: '6.1', kernelPath: 'boot/k', busyboxPath: 'bin/b' }

  /** Puts files into the cache as a download would. */
  async function fill(): Promise<string> {
    const make = async (folder: string): Promise<object> => {
      await mkdir(join(folder, 'boot'), { recursive: true })
      await writeFile(join(folder, 'boot/k'), 'a kernel')
      return manifest
    }
    return (await keep({ root: cacheDirectory, name: join('debian-12', NAME), make })).folder
  }

  test('that are kept are used, without the network', async () => {
    const folder = await fill()
    vi.stubEnv('PATH', '/nonexistent')
    expect(await fetchLinux(NAME, { cacheDirectory })).toEqual({
      ...manifest,
      kernelPath: join(folder, 'boot/k'),
      busyboxPath: join(folder, 'bin/b'),
    })
  })

  test('need the network, and the error says what to do without', async () => {
    vi.stubEnv('RETRAP_DEBIAN_SNAPSHOTS', NO_MIRROR)
    await expect(fetchInstaller('i386', { cacheDirectory, mirror: NO_MIRROR })).rejects.toThrow(
      /RETRAP_DEBIAN_FILES to a folder; .*installer-12-netboot-i386.*; or give a kernel of your own: retrap run --kernel FILE/,
    )
  })

  test.each(['vim', '../../etc', 'linux-image-', ''])("are not asked for by the name '%s'", async (name) => {
    await expect(fetchLinux(name, { cacheDirectory })).rejects.toThrow('is not a kernel package')
  })

  test('stay as they are when a newer version cannot be had, and nothing is left behind', async () => {
    await fill()
    await expect(fetchLinux(NAME, { cacheDirectory, refresh: true, mirror: NO_MIRROR })).rejects.toThrow(
      /package lists cannot be fetched: .*127\.0\.0\.1:9/,
    )
    expect(await readdir(cacheDirectory)).toEqual(['debian-12'])
    expect(await fetchLinux(NAME, { cacheDirectory })).toMatchObject({ version: '6.1' })
  })
})

test('a cache folder that cannot be used ends retrap linux with 74 and a sentence', async () => {
  const file = join(cacheDirectory, 'file')
  await writeFile(file, '')
  const { code, stderr } = await runRetrap(['linux'], { env: { XDG_CACHE_HOME: file }, deadlineMs: 100_000 })
  expect(stderr).toBe(
    `retrap: the cache folder ${file}/retrap cannot be used: a part of its path is a file; set XDG_CACHE_HOME to a folder that can\n`,
  )
  expect(code).toBe(74)
})
