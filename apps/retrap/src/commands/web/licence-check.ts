import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '@retrap/linux-guest/errors'
import { type ListedFile, type ListedPackage, type ListedSource, PACKAGES_LIST } from './packages.ts'

/** Folders of a site whose files, but for lists, are from Debian. */
const FROM_DEBIAN = ['firmware', 'systems']

/**
 * Checks that a site that is given to others meets the licences: each file of Debian's is listed, with a copyright file, the
 * texts of its licences, and the complete sources of exactly its version.
 *
 * Source: GPL version 2, section 3a, and version 3, section 6d, "Conveying Non-Source Forms"; LGPL version 3, section 4.
 *
 * @param folder - the site
 * @throws CliError `ERR_INPUT` for the first thing that is missing or differs from its hash
 */
export async function checkLicences(folder: string): Promise<void> {
  const packages = JSON.parse(await readFile(join(folder, PACKAGES_LIST), 'utf8')) as readonly ListedPackage[]
  const listed = new Set(packages.flatMap(({ files }) => files.map(({ path }) => path)))
  for (const name of FROM_DEBIAN) {
    if (!existsSync(join(folder, name))) continue
    for (const entry of await readdir(join(folder, name), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/')
      if (entry.isFile() && !path.endsWith('.json') && !listed.has(path)) throw lacks(path, 'its package')
    }
  }
  for (const one of packages) await checkPackage(folder, one)
}

async function checkPackage(folder: string, one: ListedPackage): Promise<void> {
  const { name, files, copyrights, licences, sources } = one
  if (copyrights.length === 0) throw lacks(name, 'a copyright file')
  if (licences.length === 0) throw lacks(name, 'the text of a licence')
  for (const path of [...copyrights, ...licences])
    if ((await readFile(join(folder, path)).catch(() => '')).length === 0) throw lacks(name, path)
  if (sources.length === 0) throw lacks(name, 'its sources')
  for (const file of [...files, ...sources.flatMap((source) => source.files)]) await checkFile(folder, name, file)
  for (const source of sources) await checkSource(folder, source)
}

async function checkFile(folder: string, owner: string, { path, bytes, sha256 }: ListedFile): Promise<void> {
  const content = await readFile(join(folder, path)).catch(() => null)
  if (content === null) throw lacks(owner, path)
  if (content.length !== bytes || createHash('sha256').update(content).digest('hex') !== sha256)
    throw new CliError('ERR_INPUT', `${path} differs from the SHA-256 that the list of packages has for it: ${sha256}`)
}

/**
 * Checks that a source package is complete.
 *
 * Source: Debian Policy Manual, 5.4, "Debian source package control files", and 5.6.24, "Checksums-Sha256".
 */
async function checkSource(folder: string, { name, version, files }: ListedSource): Promise<void> {
  const what = `the source package ${name} ${version}`
  const description = files.find(({ path }) => path.endsWith('.dsc'))
  if (description === undefined) throw lacks(what, 'a .dsc file')
  const text = await readFile(join(folder, description.path), 'utf8')
  const field = (key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(text)?.[1] ?? ''
  if (field('Source') !== name || field('Version') !== version)
    throw new CliError(
      'ERR_INPUT',
      `${description.path} is of ${field('Source')} ${field('Version')}; expected ${what}`,
    )
  const sums = /^Checksums-Sha256:\s*\n((?: .*\n)+)/m.exec(text)?.[1] ?? ''
  const named = [...sums.matchAll(/^ ([\da-f]{64}) \d+ (\S+)$/gm)]
  if (named.length === 0) throw lacks(what, 'checksums in its .dsc file')
  for (const [, sha256, file] of named) {
    const found = files.find(({ path }) => path.endsWith(`/${file}`))
    if (found?.sha256 !== sha256) throw lacks(what, `${file} of SHA-256 ${sha256}`)
  }
}

const lacks = (who: string, what: string): CliError =>
  new CliError('ERR_INPUT', `the site may not be given to others: ${who} lacks ${what}`)
