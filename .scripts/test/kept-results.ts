// What has passed on this machine is not tested again: results by package, under the digest of all that they depend on.
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { cacheDirectory } from '../../packages/debian/src/cache.ts'
import { programVersions } from '../../packages/tooling/src/programs.ts'
import type { FileResult } from '../../packages/tooling/src/run/results.ts'
import { type Member, root } from '../workspace.ts'

/** Turbo's cache of this machine, which all checkouts share. */
export const TURBO_CACHE: string = join(cacheDirectory(), 'turbo')
let digest: string | undefined
const host = (): string => (digest ??= hostDigest())

/** What is older is removed, whether it has been used or not: turbo keeps everything. */
const OLD_MS = 14 * 24 * 3600 * 1000

/** What tests depend on beside sources, for every package: processor, Node, other people's programs, tooling. */
function hostDigest(): string {
  const hash = createHash('sha256')
  hash.update(`${process.version} ${process.platform} ${process.arch}\n`)
  hash.update(`${processor()}\n${programVersions()}\n`)
  for (const name of ['RETRAP_TEST_JIT', 'RETRAP_TEST_DEVICES', 'RETRAP_TEST_LONG'])
    hash.update(`${name}=${process.env[name] ?? ''}\n`)
  for (const file of globSync('packages/tooling/{src,native}/**/*.*', { cwd: root }).toSorted())
    hash.update(file).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/**
 * The key of a package's results. A package all of whose tests run each time does not depend on the slice.
 *
 * @param sources - turbo's digest of all sources that the tests depend on
 */
export function resultKey({ folder }: Member, sources: string, slice: number): string {
  const isSliced = globSync('{vitest.config.ts,test/**/*.ts}', { cwd: folder }).some((file) =>
    readFileSync(join(folder, file), 'utf8').includes("from '@retrap/tooling/slice'"),
  )
  return `${sources}-${host()}${isSliced ? `-${slice}` : ''}`
}

/** The model, and what it can do where the host tells. */
function processor(): string {
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : ''
  return `${cpus()[0]?.model} ${/^(?:flags|Features)\s*:.*$/m.exec(info)?.[0] ?? ''}`
}

const fileOf = (key: string): string => join(TURBO_CACHE, 'tests', `${key}.json`)

/** The results of a package's tests under a key, if they have passed. */
export function keptResults(key: string): readonly FileResult[] | undefined {
  const file = fileOf(key)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as FileResult[]) : undefined
}

/** Keeps the results of a package whose tests have all passed; tests that were skipped may run another time. */
export function keepResults(key: string, files: readonly FileResult[]): void {
  if (files.some(({ failed, skipped }) => failed.length + skipped.length > 0)) return
  mkdirSync(join(TURBO_CACHE, 'tests'), { recursive: true })
  writeFileSync(fileOf(key), JSON.stringify(files))
}

/** Removes what is old from turbo's cache and from the results. */
export function removeOld(): void {
  const now = Date.now()
  for (const file of globSync('{,tests/}*.{json,zst}', { cwd: TURBO_CACHE })) {
    const path = join(TURBO_CACHE, file)
    if (now - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now) > OLD_MS) rmSync(path, { force: true })
  }
}
