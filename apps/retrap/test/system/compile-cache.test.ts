import { existsSync, globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Finished, runRetrap } from '../support/processes.ts'

describe('what Node compiles of the program', () => {
  let cache: string
  beforeEach(() => (cache = temporaryFolder('cache')))

  const version = (env: Readonly<Record<string, string>>): Promise<Finished> =>
    // The other tests' folder would be taken before.
    runRetrap(['--version'], { deadlineMs: 60_000, env: { NODE_COMPILE_CACHE: '', ...env } })
  const kept = (folder: string): number => globSync('**/*', { cwd: folder }).length

  test('is kept in the cache folder of the user', async () => {
    expect(await version({ XDG_CACHE_HOME: cache })).toMatchObject({ code: 0, stderr: '' })
    expect(kept(join(cache, 'retrap/compiled'))).toBeGreaterThan(1)
  })

  test('is kept where the user says, or not at all', async () => {
    const other = join(cache, 'other')
    expect(await version({ XDG_CACHE_HOME: cache, NODE_COMPILE_CACHE: other })).toMatchObject({ code: 0, stderr: '' })
    expect(kept(other)).toBeGreaterThan(1)
    expect(await version({ XDG_CACHE_HOME: cache, NODE_DISABLE_COMPILE_CACHE: '1' })).toMatchObject({ code: 0 })
    expect(existsSync(join(cache, 'retrap'))).toBe(false)
  })

  test.each(['/proc/none', 'file'])('is not kept where %s cannot hold it, and the program runs', async (name) => {
    writeFileSync(join(cache, 'file'), '')
    const folder = name.startsWith('/') ? name : join(cache, name)
    const { code, stdout, stderr } = await version({ XDG_CACHE_HOME: folder })
    expect([code, stdout.trim(), stderr]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+$/), ''])
  })
})
