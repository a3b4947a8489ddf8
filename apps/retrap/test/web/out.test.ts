/** `retrap web --out`: what is written, and what is refused before anything is fetched or booted. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { siteFolder } from '../../src/commands/web/server.ts'
import { runFake } from '../support/run-fake.ts'

let root = ''
beforeEach(() => {
  root = temporaryFolder('out')
  // A host without apt and without a network, which has fetched nothing yet.
  vi.stubEnv('PATH', join(root, 'nothing'))
  vi.stubEnv('XDG_CACHE_HOME', join(root, 'cache'))
  vi.stubEnv('RETRAP_DEBIAN_FILES', join(root, 'nothing'))
})
afterEach(() => {
  vi.unstubAllEnvs()
})

test('a port is of a site that is served', async () => {
  const { code, stderr } = await runFake('web', '--out', join(root, 'site'), '--port', '0')
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('--port belongs to a site that is served; --out writes one'),
  ])
})

// The site that has been built is written.
const isBuilt = existsSync(join(siteFolder(), 'index.html'))
const lacksSite = skipNote(isBuilt, 'the site is not built: npx turbo run build --filter=@retrap/site')

test.skipIf(!isBuilt)(`where no package can be had there is no BIOS, which is said loudly${lacksSite}`, async () => {
  const site = join(root, 'site')
  const { code, stdout, stderr } = await runFake('web', '--out', site)
  expect(stderr).toMatch(
    /^retrap: THE SITE HAS NO BIOS: RETRAP_DEBIAN_FILES: [^]*; disks and CDs start .* that the user adds/m,
  )
  expect(code).toBe(0)
  expect(readFileSync(join(site, 'firmware/firmware.json'), 'utf8')).toBe('null')
  expect(readFileSync(join(site, 'debian/packages.json'), 'utf8')).toBe('[]')
  expect(existsSync(join(site, 'index.html'))).toBe(true)
  expect(stdout).toMatch(/^retrap: the site is in .*\n +[\d.]+ MB +\d+ files {2}the pages themselves\n[^]* in all\n$/)
})

test.skipIf(!isBuilt).each(['--debian', '--desktop'])(
  `%s that cannot be had is an error${lacksSite}`,
  async (system) => {
    const { code, stderr } = await runFake('web', '--out', join(root, 'site'), system)
    expect([code, stderr]).toEqual([74, expect.stringContaining('RETRAP_DEBIAN_FILES: the folder')])
    expect(existsSync(join(root, 'site'))).toBe(false)
  },
)

test.skipIf(!isBuilt)(`a folder with other files is refused before Debian is fetched${lacksSite}`, async () => {
  const other = join(root, 'other')
  mkdirSync(other)
  writeFileSync(join(other, 'file'), '')
  const { code, stderr } = await runFake('web', '--out', other, '--debian')
  expect([code, stderr]).toEqual([74, expect.stringMatching(/--out .*other: it has other files/)])
  expect(stderr).not.toContain('apt')
})
