// A program whose binary is an npm package of its own: each version of Node, of Bun, of Deno. It is fetched once for all
// checkouts, by npm, and stays in the user's cache.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cacheDirectory } from '@retrap/debian'

export interface NpmProgram {
  /** The program's folder in the cache. */
  readonly name: string
  readonly version: string
  /** The npm package with the binary for this platform. */
  readonly package: string
  /** SHA-512 of the tarball, in base64. */
  readonly hash: string
  /** The binary's path in the package. */
  readonly file: string
}

/**
 * Finds or fetches a program.
 *
 * @returns the program's path; undefined if it is unavailable
 * @throws Error if the tarball has another hash
 */
export function provideNpmProgram({ name, version, package: packed, hash, file }: NpmProgram): string | undefined {
  const folder = join(cacheDirectory(), name, version)
  const executable = join(folder, file)
  if (existsSync(executable)) return executable
  const temporary = mkdtempSync(join(tmpdir(), 'retrap-npm-'))
  try {
    const shell = process.platform === 'win32'
    const { status, stdout } = spawnSync('npm', ['pack', `${packed}@${version}`, '--silent'], {
      cwd: temporary,
      encoding: 'utf8',
      shell,
    })
    if (status !== 0) return undefined
    const tarball = join(temporary, stdout.trim())
    const found = createHash('sha512').update(readFileSync(tarball)).digest('base64')
    if (found !== hash) throw new Error(`${packed}@${version}: its hash is ${found}; expected ${hash}`)
    if (spawnSync('tar', ['-xzf', tarball, '-C', temporary], { shell }).status !== 0) return undefined
    mkdirSync(dirname(folder), { recursive: true })
    // The cache may be on another file system, and another checkout may do the same meanwhile.
    const own = `${folder}.${process.pid}`
    cpSync(join(temporary, 'package'), own, { recursive: true })
    if (existsSync(folder)) rmSync(own, { recursive: true })
    else renameSync(own, folder)
    return existsSync(executable) ? executable : undefined
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
