import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { CliError } from '@retrap/linux-guest/errors'
import {
  licencePath,
  licencesNamedIn,
  type ListedFile,
  type ListedPackage,
  type ListedSource,
  PACKAGES_LIST,
} from './packages.ts'
import type { MoreFiles } from './server.ts'

/** Files by which a folder is known as an earlier site. */
const MARKS = ['index.html', 'service-worker.js']

/**
 * Writes the site as files that any web server can serve. An earlier site in the folder is replaced when the new one is
 * complete.
 *
 * @param from - folder of the built site
 * @param more - replace the folder's files of the same names
 * @throws CliError `ERR_INPUT` for a folder with other files, and for Debian's files without the sources that their licences
 * require
 */
export async function writeSite(from: string, more: MoreFiles, to: string): Promise<void> {
  const folder = resolve(to)
  await checkTarget(folder)
  // Otherwise packages would include files under other licences.
  if (folder === resolve(from)) throw new CliError('ERR_INPUT', `--out ${folder}: the program's own site is there`)
  await mkdir(dirname(folder), { recursive: true })
  const made = await mkdtemp(join(dirname(folder), `.${basename(folder)}-`))
  try {
    // Only its owner may read a temporary folder; a web server runs as another user.
    await chmod(made, 0o755)
    await cp(from, made, { recursive: true })
    for (const [path, file] of more) {
      const at = join(made, path)
      await mkdir(dirname(at), { recursive: true })
      await ('path' in file ? cp(file.path, at) : writeFile(at, file instanceof Uint8Array ? file : await file()))
    }
    await checkLicences(made)
    await packPrograms(made)
    await rm(folder, { recursive: true, force: true })
    await rename(made, folder)
  } finally {
    await rm(made, { recursive: true, force: true })
  }
}

/** Smaller files take as long to fetch, packed or not. */
const LEAST_PACKED_BYTES = 8192

/** Packs the programs of a site by gzip, beside themselves: its service worker fetches them so from servers that do not compress. */
async function packPrograms(folder: string): Promise<void> {
  const names = (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/'))
  const packed: string[] = []
  for (const name of names.filter((one) => /^(?:assets\/)?[^/]+\.(?:js|css)$/.test(one) && !MARKS.includes(one))) {
    const bytes = await readFile(join(folder, name))
    if (bytes.length < LEAST_PACKED_BYTES) continue
    packed.push(name)
    await writeFile(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }))
  }
  const worker = join(folder, 'service-worker.js')
  const program = await readFile(worker, 'utf8').catch(() => '')
  if (packed.length > 0)
    await writeFile(worker, program.replace('const SITE = {', `$&"packed":${JSON.stringify(packed)},`))
}

/** @throws CliError `ERR_INPUT` for a folder whose files would be lost */
export async function checkTarget(folder: string): Promise<void> {
  const state = await stat(folder).catch(() => null)
  if (state === null) return
  if (!state.isDirectory()) throw new CliError('ERR_INPUT', `--out ${folder}: it is a file; expected a folder`)
  const isEmpty = (await readdir(folder)).length === 0
  if (isEmpty || MARKS.every((name) => existsSync(join(folder, name)))) return
  throw new CliError(
    'ERR_INPUT',
    `--out ${folder}: it has other files; give an empty folder, or one with an earlier site`,
  )
}

/** Parts of the site by folder, with names for people; the first one covers the rest. */
const PARTS: readonly (readonly [prefix: string, name: string])[] = [
  ['', 'the pages themselves'],
  ['firmware/', 'firmware, loaded when a disk or a CD is started'],
  ['systems/debian-amd64/', 'Debian amd64: snapshot, kernel, initial RAM disk, disk'],
  ['systems/debian-arm64/', 'Debian arm64: snapshot, kernel, initial RAM disk, disk'],
  ['systems/desktop/', 'Debian with X: snapshot, kernel, initial RAM disk'],
  ['systems/invaders/', 'Invaders'],
  ['machine/', 'the machine, at its prompt, and its files'],
  ['recordings/', 'recordings'],
  ['debian/', 'copyright files and licences of what is from Debian'],
  ['debian/sources/', 'sources of what is from Debian, for licences'],
]

/** The sizes of a site's parts, as lines of text. */
export async function siteSizes(folder: string): Promise<string[]> {
  const sums = PARTS.map(([prefix, name]) => ({ prefix, name, bytes: 0, files: 0 }))
  const all = { name: 'in all', bytes: 0, files: 0 }
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const name = relative(folder, path).replaceAll('\\', '/')
    const { size } = await stat(path)
    for (const sum of [sums.findLast(({ prefix }) => name.startsWith(prefix))!, all]) {
      sum.bytes += size
      sum.files++
    }
  }
  return [...sums.filter(({ files }) => files > 0), all].map(
    ({ name, bytes, files }) =>
      `${(bytes / 1e6).toFixed(1).padStart(7)} MB  ${String(files).padStart(3)} files  ${name}`,
  )
}

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
  const texts = await Promise.all(copyrights.map((path) => readFile(join(folder, path), 'utf8').catch(() => '')))
  // A copyright file has a licence as a text, or names one of Debian's common licences.
  for (const licence of licencesNamedIn(texts.join('\n')))
    if (!licences.includes(licencePath(licence))) throw lacks(name, `the text of a licence: ${licence}`)
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
