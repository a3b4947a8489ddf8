import { createHash } from 'node:crypto'
import { mkdir, readdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { OnProgress } from './apt.ts'
import { type PackageSource, withPackages } from './archive.ts'
import { cacheDirectory, findKept, keep, type Kept, withScratchFolder } from './cache.ts'
import { fieldOf, readControlText, unpackPackage } from './deb.ts'
import { DebianError } from './errors.ts'
import {
  archiveOf,
  architecturesOf,
  type FetchMembersOptions,
  type PackageMembers,
  qualified,
  releaseOf,
  resolveName,
} from './members.ts'

/** A package whose files are redistributed. */
export interface DistributedMembers extends PackageMembers {
  /** Packages of the same architecture whose code is linked into the files: their copyright files are fetched as well. */
  readonly linked?: readonly string[]
  /** Suffix of the name of the package that has the members. */
  readonly suffix?: string
}

/** A source package with its files. */
export interface SourcePackage extends SourceVersion {
  /** Paths of the `.dsc` and its archives; empty if sources were not requested. */
  readonly files: readonly string[]
}

/** Files of a package, with everything that licences such as the GPL require for redistribution. */
export interface DistributedPackage {
  /** The folder with the members at their paths. */
  readonly folder: string
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** Paths of the copyright files of the package and of packages linked into it. */
  readonly copyrights: readonly string[]
  /** The source packages that the files were built from, in exactly these versions. */
  readonly sources: readonly SourcePackage[]
}

export interface FetchDistributedOptions extends FetchMembersOptions {
  /** Fetches the source packages too. Default false. */
  readonly withSources?: boolean
}

/** The cache's record of a package. Paths are relative to its folder. */
interface Recorded extends ControlFields {
  readonly copyrights: readonly string[]
}

/**
 * Returns packages whose files may be given to others. Packages that are not in the cache are fetched.
 *
 * Debian's archive has the sources of a version only as long as it has that version. A package in the cache whose sources
 * are gone is therefore fetched again, in the version of the archive.
 *
 * @returns in the order of `wanted`
 * @throws DebianError
 */
export async function fetchDistributed(
  wanted: readonly DistributedMembers[],
  options: FetchDistributedOptions = {},
): Promise<readonly DistributedPackage[]> {
  const { root = cacheDirectory(), withSources = false, onProgress } = options
  const found = await findDistributed(wanted, options)
  if (found !== undefined) return found
  const made = new Map<DistributedMembers, DistributedPackage>()
  for (const [release, entries] of Map.groupBy(wanted, releaseOf)) {
    const architectures = architecturesOf(entries)
    await withScratchFolder(root, (scratch) =>
      withPackages(
        { directory: scratch, release, architectures, withoutSecurity: true, withSources },
        onProgress,
        async (source) => {
          const fetchAll = async (refresh: boolean): Promise<void> => {
            for (const entry of entries) {
              const make = (files: string): Promise<Recorded> => fetchPackage(source, entry, files, onProgress)
              const kept = await keep({ root, name: nameOf(entry), refresh, make })
              const sources = withSources ? await fetchSources(source, kept.data, root, onProgress) : null
              made.set(entry, describe(kept, sources))
            }
          }
          try {
            await fetchAll(false)
          } catch (error) {
            if (!withSources || !(error instanceof DebianError) || error.code !== 'ERR_FETCH') throw error
            await fetchAll(true)
          }
        },
      ),
    )
  }
  return wanted.map((entry) => made.get(entry)!)
}

/** Returns the packages if all of them are in the cache. Nothing is fetched. */
export async function findDistributed(
  wanted: readonly DistributedMembers[],
  { root = cacheDirectory(), withSources = false }: FetchDistributedOptions = {},
): Promise<readonly DistributedPackage[] | undefined> {
  const one = async (entry: DistributedMembers): Promise<DistributedPackage | undefined> => {
    const kept = await findKept<Recorded>(root, nameOf(entry))
    if (kept === undefined || !withSources) return kept && describe(kept, null)
    const sources = await Promise.all(kept.data.builtFrom.map((source) => findKept<object>(root, sourceName(source))))
    if (!sources.every((source) => source !== undefined)) return undefined
    return describe(kept, await Promise.all(sources.map(({ folder }) => sourceFiles(folder))))
  }
  const found = await Promise.all(wanted.map(one))
  return found.every((entry) => entry !== undefined) ? found : undefined
}

function nameOf(entry: DistributedMembers): string {
  const { package: name, members, linked = [], suffix = '' } = entry
  const digest = createHash('sha256')
    .update(JSON.stringify([members, linked, suffix]))
    .digest('hex')
    .slice(0, 12)
  return join(`debian-${releaseOf(entry)}`, 'distributed', `${name.replace(':', '_')}-${digest}`)
}

const sourceName = ({ name, version }: SourceVersion): string =>
  join('debian-12', 'sources', `${name}_${version.replaceAll(':', '%3a')}`)

/** Fills a folder of the cache with an entry's members and copyright files. */
async function fetchPackage(
  source: PackageSource,
  entry: DistributedMembers,
  files: string,
  onProgress: OnProgress | undefined,
): Promise<Recorded> {
  const { bare: dependency, architecture } = await resolveName(source, entry)
  const bare = dependency + (entry.suffix ?? '')
  const names = [bare, ...(entry.linked ?? [])]
  const downloads = await source.download(
    names.map((name) => qualified({ bare: name, architecture })),
    onProgress,
  )
  const archives = await readdir(downloads)
  const pathOf = (name: string): string => join(downloads, archiveOf(archives, { bare: name, architecture }))
  const copyrights = names.map((name) => `usr/share/doc/${name}/copyright`)
  for (const [i, name] of names.entries())
    await unpackPackage(pathOf(name), files, [...(i === 0 ? entry.members : []), `./${copyrights[i]}`])
  return { ...(await readControl(pathOf(bare))), copyrights }
}

/** Keeps the source packages that a package was built from. @returns the files of each */
async function fetchSources(
  packages: PackageSource,
  { builtFrom }: Recorded,
  root: string,
  onProgress: OnProgress | undefined,
): Promise<string[][]> {
  const all: string[][] = []
  for (const source of builtFrom) {
    const make = async (folder: string): Promise<object> => {
      const paths = await packages.downloadSource(source.name, source.version, onProgress)
      await mkdir(folder, { recursive: true })
      await Promise.all(paths.map((path) => rename(path, join(folder, basename(path)))))
      return {}
    }
    const { folder } = await keep({ root, name: sourceName(source), make })
    all.push(await sourceFiles(folder))
  }
  return all
}

/** The files of a source package in the cache. */
async function sourceFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /\.(?:dsc|tar\.\w+|asc)$/.test(name))
  return names.toSorted().map((name) => join(folder, name))
}

function describe({ folder, data }: Kept<Recorded>, sources: readonly string[][] | null): DistributedPackage {
  const { builtFrom, copyrights, ...fields } = data
  return {
    ...fields,
    folder,
    copyrights: copyrights.map((path) => join(folder, path)),
    sources: builtFrom.map((source, i) => ({ ...source, files: sources?.[i] ?? [] })),
  }
}

/** A version of a source package. */
export interface SourceVersion {
  readonly name: string
  readonly version: string
}

/** The identity of a binary package, and its sources. */
export interface ControlFields {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** The source package of the package first, then source packages whose code is a part of the files. */
  readonly builtFrom: readonly SourceVersion[]
}

/**
 * Reads the control file of a Debian package.
 *
 * Source: Debian Policy Manual, 5.6.1, "Source", and 7.8, "Additional source packages used to build the binary".
 *
 * @param file - path of the `.deb`
 * @throws DebianError `ERR_FETCH` if the file is not a package
 */
export async function readControl(file: string): Promise<ControlFields> {
  const text = await readControlText(file)
  const field = (key: string): string => fieldOf(text, key)
  const [name, version] = [field('Package'), field('Version')]
  // `Source: NAME (VERSION)`. Debian omits parts that equal the binary package's.
  const [, source = name, sourceVersion = version] = /^(\S+)(?: \((.+)\))?$/.exec(field('Source')) ?? []
  const linked = [...field('Built-Using').matchAll(/([^\s,]+) \(= ([^)]+)\)/g)].map(
    ([, one = '', itsVersion = '']): SourceVersion => ({ name: one, version: itsVersion }),
  )
  return {
    name,
    version,
    architecture: field('Architecture'),
    builtFrom: [{ name: source, version: sourceVersion }, ...linked],
  }
}
