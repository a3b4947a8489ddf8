import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Apt } from '../../src/linux/apt.ts'
import { defaultCacheDirectory, fetchInstaller, fetchLinux } from '../../src/linux/debian.ts'

const NAME = 'linux-image-cloud-amd64'
// Nothing listens on the discard port.
const NO_MIRROR = 'http://127.0.0.1:9/debian'
const hasApt = await Apt.isAvailable()

let cacheDirectory = ''
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'retrap-cache-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(cacheDirectory, { recursive: true })
})

async function keep(manifest: object): Promise<string> {
  const folder = join(cacheDirectory, 'debian-12', NAME)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest))
  return folder
}

describe("Debian's files", () => {
  const manifest = { packageName: 'linux-image-6.1.0-1', version: '6.1', kernelPath: 'boot/k', busyboxPath: 'bin/b' }

  test('that are kept are used, without apt and without the network', async () => {
    vi.stubEnv('PATH', '/nonexistent')
    const folder = await keep(manifest)
    expect(await fetchLinux(NAME, { cacheDirectory })).toEqual({
      ...manifest,
      kernelPath: join(folder, 'boot/k'),
      busyboxPath: join(folder, 'bin/b'),
    })
  })

  test('need apt, and the error says what to do without', async () => {
    vi.stubEnv('PATH', '/nonexistent')
    await expect(fetchInstaller('i386', { cacheDirectory })).rejects.toThrow('retrap run --kernel FILE')
  })

  test.each(['vim', '../../etc', 'linux-image-', ''])("are not asked for by the name '%s'", async (name) => {
    await expect(fetchLinux(name, { cacheDirectory })).rejects.toThrow('is not a kernel package')
  })

  test.skipIf(!hasApt)(
    'stay as they are when a newer version cannot be had, and nothing is left behind',
    async () => {
      await keep(manifest)
      await expect(fetchLinux(NAME, { cacheDirectory, refresh: true, mirror: NO_MIRROR })).rejects.toThrow(
        /apt could not get package lists from Debian: .*127\.0\.0\.1:9/,
      )
      expect(await readdir(cacheDirectory)).toEqual(['debian-12'])
      expect(await fetchLinux(NAME, { cacheDirectory })).toMatchObject({ version: '6.1' })
    },
    30_000,
  )
})

test.each([
  ['/c', '/c/retrap'],
  ['', join(process.env['HOME'] ?? '/', '.cache/retrap')],
])("with XDG_CACHE_HOME '%s' they lie in %s", (variable, folder) => {
  vi.stubEnv('XDG_CACHE_HOME', variable)
  expect(defaultCacheDirectory()).toBe(folder)
})
