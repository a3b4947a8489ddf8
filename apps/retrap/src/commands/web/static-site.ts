import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { CliError } from '@retrap/linux-guest/errors'
import { checkLicences } from './licence-check.ts'
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
    await rm(folder, { recursive: true, force: true })
    await rename(made, folder)
  } finally {
    await rm(made, { recursive: true, force: true })
  }
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
