import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { DistributedMembers, DistributedPackage } from '@retrap/debian'
import { CliError } from '@retrap/linux-guest/errors'
import type { SiteFile } from './server.ts'

/** A file of the site, for the About page's list. */
export interface ListedFile {
  /** Path below the site. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** A source package that the site has, or that the user can get from Debian. */
export interface ListedSource {
  readonly name: string
  readonly version: string
  /** Empty where the site has no sources. */
  readonly files: readonly ListedFile[]
}

/** A package of Debian with files on the site, and the texts and sources that its licences require. */
export interface ListedPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** Text for people: the parts that the site has, and their use. */
  readonly purpose: string
  readonly files: readonly ListedFile[]
  /** Paths below the site. */
  readonly copyrights: readonly string[]
  /** Paths below the site, of the licence texts that the copyright files name. */
  readonly licences: readonly string[]
  readonly sources: readonly ListedSource[]
}

/** Files to add to the site, with their packages. */
export interface SitePart {
  readonly packages: readonly ListedPackage[]
  readonly files: ReadonlyMap<string, SiteFile>
}

/** Path by which the About page finds the list of packages. */
export const PACKAGES_LIST = 'debian/packages.json'

/** Debian's package of the licence texts that the copyright files of other packages refer to. */
export const LICENCE_TEXTS: DistributedMembers = {
  package: 'base-files',
  members: ['./usr/share/common-licenses/*'],
}

/** The content of a package's entry. */
export interface ListOptions {
  readonly purpose: string
  /** Files of the site that are, or contain, files of the package. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** {@link LICENCE_TEXTS}, fetched. */
  readonly licenceTexts: DistributedPackage
}

/**
 * Lists a package, with its copyright files, licence texts and sources as files of the site.
 *
 * @throws CliError `ERR_INPUT` for a copyright file that names a licence whose text Debian does not have
 */
export async function listPackage(
  given: DistributedPackage,
  { purpose, files, licenceTexts }: ListOptions,
): Promise<SitePart> {
  const { name, version, architecture } = given
  const folder = `debian/${name}_${architecture}`
  const added = new Map<string, SiteFile>()
  const texts = await Promise.all(given.copyrights.map((path) => readFile(path)))
  const copyrights = given.copyrights.map((path, i) => {
    // …/doc/PACKAGE/copyright
    const owner = path.split('/').at(-2)!
    const at = `${folder}/copyright${owner === name ? '' : `-${owner}`}.txt`
    added.set(at, texts[i]!)
    return at
  })
  const licences = await Promise.all(
    licencesNamedIn(texts.join('\n')).map(async (licence) => {
      const at = licencePath(licence)
      const path = join(licenceTexts.folder, 'usr/share/common-licenses', licence)
      const text = await readFile(path).catch(() => {
        throw new CliError(
          'ERR_INPUT',
          `${name} names the licence ${licence}, whose text Debian's base-files does not have`,
        )
      })
      added.set(at, text)
      return at
    }),
  )
  const sources: ListedSource[] = []
  for (const source of given.sources) {
    const listed: ListedFile[] = []
    for (const path of source.files) {
      const at = `debian/sources/${basename(path)}`
      listed.push(describeFile(at, await readFile(path)))
      added.set(at, () => readFile(path))
    }
    sources.push({ name: source.name, version: source.version, files: listed })
  }
  const listed = { name, version, architecture, purpose, copyrights, licences, sources }
  return {
    packages: [{ ...listed, files: [...files].map(([path, bytes]) => describeFile(path, bytes)) }],
    files: added,
  }
}

/** Path of a licence's text below the site. */
export const licencePath = (licence: string): string => `debian/licences/${licence}.txt`

/** The licences whose texts a copyright file refers to. */
export function licencesNamedIn(copyright: string): string[] {
  const named = [...copyright.matchAll(/\/usr\/share\/common-licenses\/([A-Z][\w.-]*\w)/g)].map(([, name = '']) => name)
  // Version 3 of the Lesser GPL is a set of permissions added to the GPL.
  return [...new Set([...named, ...(named.includes('LGPL-3') ? ['GPL-3'] : [])])].toSorted()
}

const describeFile = (path: string, bytes: Uint8Array): ListedFile => ({
  path,
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

/** The list of packages, as a file of the site. */
export const packagesList = (packages: readonly ListedPackage[]): Uint8Array =>
  Buffer.from(JSON.stringify(packages, null, 1))
