import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { OnProgress } from './apt.ts'
import { type PackageSource, withPackages } from './archive.ts'
import { cacheDirectory, find, keep, withScratchFolder } from './cache.ts'
import { unpackPackage } from './deb.ts'
import { DebianError } from './errors.ts'
import { type ReleaseName, USUAL_RELEASE } from './releases.ts'

/** A package of Debian, and the files wanted from it. */
export interface PackageMembers {
  /** Default Debian 12. */
  readonly release?: ReleaseName
  /** Name of the package, with `:i386`, `:arm64` or `:armhf` for another architecture than amd64. */
  readonly package: string
  /** Paths as in the archive (`./boot/vmlinuz-*`); shell patterns are allowed. */
  readonly members: readonly string[]
  /** The members are in the package's dependency whose name begins so: kernels have a package that names the newest. */
  readonly dependency?: string
}

export interface FetchMembersOptions {
  /** Folder of the files; default the user's cache. */
  readonly root?: string
  readonly onProgress?: OnProgress
}

/**
 * Returns a folder for each entry, with its members below their paths. Members that are not in the cache are fetched.
 *
 * @returns in the order of `wanted`
 * @throws DebianError
 */
export async function fetchMembers(
  wanted: readonly PackageMembers[],
  options: FetchMembersOptions = {},
): Promise<readonly string[]> {
  const root = options.root ?? cacheDirectory()
  const found = await Promise.all(wanted.map((entry) => find(root, nameOf(entry))))
  if (found.every((folder) => folder !== undefined)) return found
  const wantedNow = wanted.filter((_entry, i) => found[i] === undefined)
  for (const [release, entries] of Map.groupBy(wantedNow, releaseOf))
    await withScratchFolder(root, (scratch) => {
      const sources = { directory: scratch, release, architectures: architecturesOf(entries), withoutSecurity: true }
      return withPackages(sources, options.onProgress, async (source) => {
        const names: PackageName[] = []
        for (const entry of entries) names.push(await resolveName(source, entry))
        const folder = await source.download(names.map(qualified), options.onProgress)
        for (const [i, entry] of entries.entries()) {
          const make = (files: string): Promise<object> => unpackEntry(folder, names[i]!, entry, files)
          await keep({ root, name: nameOf(entry), make })
        }
      })
    })
  return wanted.map((entry) => join(root, nameOf(entry)))
}

/**
 * Names of the architectures of packages.
 *
 * Packages of the security archive are left out, because their daily changes would change the results of tests.
 */
export const architecturesOf = (wanted: readonly PackageMembers[]): string[] => [
  ...new Set(['amd64', ...wanted.map(({ package: name }) => name.split(':')[1] ?? 'amd64')]),
]

/** The release that an entry's package is of. */
export const releaseOf = ({ release = USUAL_RELEASE }: PackageMembers): ReleaseName => release

function nameOf(entry: PackageMembers): string {
  const { package: name, members } = entry
  const digest = createHash('sha256').update(members.join()).digest('hex').slice(0, 12)
  return join(`debian-${releaseOf(entry)}`, 'members', `${name.replace(':', '_')}-${digest}`)
}

async function unpackEntry(
  folder: string,
  name: PackageName,
  { members }: PackageMembers,
  files: string,
): Promise<object> {
  const archive = archiveOf(await readdir(folder), name)
  await unpackPackage(join(folder, archive), files, members)
  return { package: name.bare, archive }
}

/** A package's name and architecture, default amd64. */
export interface PackageName {
  readonly bare: string
  readonly architecture: string | undefined
}

/** The package that has an entry's members. */
export async function resolveName(
  source: PackageSource,
  { package: name, dependency }: PackageMembers,
): Promise<PackageName> {
  const dependsOn = dependency === undefined ? [] : (await source.show(name)).dependsOn
  const real = dependsOn.find((other) => other.startsWith(dependency as string)) ?? name
  const [bare = '', architecture = name.split(':')[1]] = real.split(':')
  return { bare, architecture }
}

/** Newer kernels have a package for the image, one for the modules, and one for the list of built-in modules. */
export const KERNEL_PARTS: RegExp = /^linux-(?:image|base|binary|modules)-\d/

/** The packages with a kernel's files. @param name - of a kernel's package, or of the one that depends on the newest */
export async function kernelPackages(source: Pick<PackageSource, 'show'>, name: string): Promise<readonly string[]> {
  const [, suffix = ''] = /(:.*)$/.exec(name) ?? []
  const { dependsOn } = await source.show(name)
  const parts = dependsOn.filter((other) => KERNEL_PARTS.test(other)).map((other) => other.split(':')[0] + suffix)
  const newest = parts.find((part) => part.startsWith('linux-image-'))
  if (newest !== undefined) return kernelPackages(source, newest)
  return parts.length === 0 ? [name] : parts
}

/** Returns a package's name with its architecture. */
export const qualified = ({ bare, architecture }: PackageName): string =>
  architecture === undefined ? bare : `${bare}:${architecture}`

/** The name of a package's archive among downloaded ones: NAME_VERSION_ARCHITECTURE.deb. */
export function archiveOf(archives: readonly string[], { bare, architecture = 'amd64' }: PackageName): string {
  const archive = archives.find(
    (file) => file.startsWith(`${bare}_`) && (file.endsWith(`_${architecture}.deb`) || file.endsWith('_all.deb')),
  )
  if (archive === undefined) throw new DebianError('ERR_FETCH', `no ${bare} was downloaded`)
  return archive
}
