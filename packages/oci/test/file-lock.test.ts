import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { withFileLock } from '@retrap/oci/node'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'

const folder = temporaryFolder('oci-file-lock')
/** No Linux has processes with this number. */
const GONE = 4_194_305

test('of processes that find locks of killed ones, one at a time works', { timeout: 60_000 }, async () => {
  const program = `
    import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
    import { withFileLock } from ${JSON.stringify(new URL('../src/node/file-lock.ts', import.meta.url))}
    const path = ${JSON.stringify(join(folder, 'lock'))}
    for (let i = 0; i < 100; i++) await withFileLock(path, async () => {
      mkdirSync(path + '.busy')
      await new Promise((done) => setTimeout(done, 2))
      rmdirSync(path + '.busy')
      writeFileSync(path, ${JSON.stringify(`${hostname()} ${GONE} `)} + process.pid + i)
    })`
  const words = ['--conditions=retrap-source', '--input-type=module', '--eval', program]
  const all = Array.from({ length: 4 }, () =>
    spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] }),
  )
  const ends = await Promise.all(all.map((child) => once(child, 'exit')))
  expect(ends.map(([code]) => code)).toEqual([0, 0, 0, 0])
  expect(readdirSync(folder)).toEqual(['lock'])
})

test('a lock is kept while its process lives; a caller is told that it waits', async () => {
  const path = join(folder, 'held.lock')
  const told: string[] = []
  const waiting = (text: string) => ({ signal: AbortSignal.timeout(50), waits: () => void told.push(text) })
  const work = async () => 'done'
  writeFileSync(path, `${hostname()} ${process.pid} x`)
  await expect(withFileLock(path, work, waiting('lives'))).rejects.toThrow(/timeout/)
  writeFileSync(path, `another-host ${GONE} x`)
  await expect(withFileLock(path, work, waiting('away'))).rejects.toThrow(/timeout/)
  utimesSync(path, 0, 0)
  expect([await withFileLock(path, work, waiting('old')), told]).toEqual(['done', ['lives', 'away']])
})
