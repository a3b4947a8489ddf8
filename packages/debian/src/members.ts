import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Apt, unpackPackage, type OnProgress } from './apt.ts'
import { cacheDirectory, find, keep, withScratchFolder } from './cache.ts'
import { DebianError } from './errors.ts'

/** A package of Debian 12 and the files that are wanted of it. */
export interface PackageMembers {
  /** With `:i386`, `:arm64` or `:armhf` for another architecture than amd64. */
  readonly package: string
  /** Paths as in the archive (`./boot/vmlinuz-*`); shell patterns are allowed. */
  readonly members: readonly string[]
  /** The members are in the package's dependency whose name begins so: kernels have a package that names the newest. */
  readonly dependency?: string
}

export interface FetchMembersOptions {
  /** Where the files are kept; the user's cache unless given. */
  readonly root?: string
  readonly onProgress?: OnProgress
}

/**
 * Returns a folder for each entry, with its members below their paths. Members that are not in the cache are fetched.
 *
 * @returns in the order of `wanted`
 * @throws DebianError `ERR_NO_APT`, `ERR_FETCH`, `ERR_CACHE`
 */
export async function fetchMembers(
  wanted: readonly PackageMembers[],
  options: FetchMembersOptions = {},
): Promise<readonly string[]> {
  const root = options.root ?? cacheDirectory()
  const found = await Promise.all(wanted.map((entry) => find(root, nameOf(entry))))
  if (found.every((folder) => folder !== undefined)) return found
  return withScratchFolder(root, async (scratch) => {
    const architectures = wanted.map(({ package: name }) => name.split(':')[1] ?? 'amd64')
    const apt = await Apt.open(
      {
        directory: join(scratch, 'apt'),
        architectures: [...new Set(['amd64', ...architectures])],
        // Its packages change from day to day, and with them what tests compare with.
        withoutSecurity: true,
      },
      options.onProgress,
    )
    const folders: string[] = []
    for (const entry of wanted) {
      const make = (files: string): Promise<object> => fetchEntry(apt, entry, files, options.onProgress)
      // oxlint-disable-next-line no-await-in-loop -- one download at a time
      folders.push((await keep({ root, name: nameOf(entry), make })).folder)
    }
    return folders
  })
}

function nameOf({ package: name, members }: PackageMembers): string {
  const digest = createHash('sha256').update(members.join()).digest('hex').slice(0, 12)
  return join('debian-12', 'members', `${name.replace(':', '_')}-${digest}`)
}

async function fetchEntry(
  apt: Apt,
  entry: PackageMembers,
  files: string,
  onProgress: OnProgress | undefined,
): Promise<object> {
  const { bare, architecture } = await resolveName(apt, entry)
  const folder = await apt.download([qualified(bare, architecture)], onProgress)
  const archive = archiveOf(await readdir(folder), bare, architecture)
  await unpackPackage(join(folder, archive), files, entry.members)
  return { package: bare, archive }
}

/** The package that has an entry's members. */
export async function resolveName(
  apt: Apt,
  { package: name, dependency }: PackageMembers,
): Promise<{ readonly bare: string; readonly architecture: string | undefined }> {
  const dependsOn = dependency === undefined ? [] : (await apt.show(name)).dependsOn
  const real = dependsOn.find((other) => other.startsWith(dependency as string)) ?? name
  const [bare = '', architecture = name.split(':')[1]] = real.split(':')
  return { bare, architecture }
}

/** A package's name for apt. */
export const qualified = (bare: string, architecture: string | undefined): string =>
  architecture === undefined ? bare : `${bare}:${architecture}`

/** The name of a package's archive among those that were downloaded: NAME_VERSION_ARCHITECTURE.deb. */
export function archiveOf(archives: readonly string[], bare: string, architecture = 'amd64'): string {
  const archive = archives.find(
    (file) => file.startsWith(`${bare}_`) && (file.endsWith(`_${architecture}.deb`) || file.endsWith('_all.deb')),
  )
  if (archive === undefined) throw new DebianError('ERR_FETCH', `apt downloaded no ${bare}`)
  return archive
}
