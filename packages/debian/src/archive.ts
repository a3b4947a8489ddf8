import { copyFile, mkdtemp, readFile, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Apt, type AptOptions, DEBIAN, type OnProgress, type PackageRecord } from './apt.ts'
import { hashFile } from './cache.ts'
import { DebianError } from './errors.ts'
import { type ArchiveKey, DEBIAN_KEYS } from './keys.ts'
import { type FetchList, type ListedFile, type ListedPackage, PackageLists, type Suite } from './lists.ts'
import { PINNED, SNAPSHOT_TIMES } from './pins.ts'
import { RELEASES, type ReleaseName, USUAL_RELEASE } from './releases.ts'
import { transfer, TransferError, type WantedFile } from './transfer.ts'

/** Archive of all past versions of Debian's packages. */
const SNAPSHOTS = 'http://snapshot.debian.org/archive'

/** A way to packages by their names: {@link Archive} or {@link Apt}. */
export type PackageSource = Pick<Apt, 'show' | 'download' | 'downloadSource'>

/** The sources of packages, and the folder for downloads. */
export interface ArchiveOptions extends Pick<
  AptOptions,
  'directory' | 'mirror' | 'release' | 'architectures' | 'withoutSecurity' | 'stallMs'
> {
  /** Takes the versions that the archive has now in place of the pinned ones. */
  readonly isCurrent?: boolean
  /** Packages with pinned versions; default this release's. */
  readonly pinned?: readonly ListedPackage[]
  /** Takes signed lists whose validity has ended: for pins, which people review. */
  readonly mayBeOld?: boolean
  /** Keys that sign the archive; Debian's unless given. */
  readonly keys?: readonly ArchiveKey[]
}

/**
 * Runs `work` with a source of packages: the pinned ones without apt, apt where `RETRAP_DEBIAN_APT` is set. Where a pinned version
 * is gone, `work` runs again with the versions that the archive has now.
 *
 * @throws DebianError `ERR_NETWORK`, `ERR_GONE`, `ERR_FETCH`; `ERR_NO_APT`
 */
export async function withPackages<T>(
  options: ArchiveOptions & Pick<AptOptions, 'withSources'>,
  onProgress: OnProgress | undefined,
  work: (source: PackageSource) => Promise<T>,
): Promise<T> {
  if (variable('RETRAP_DEBIAN_APT') !== undefined) return work(await Apt.open(options, onProgress))
  try {
    return await work(await Archive.open(options))
  } catch (error) {
    if (options.isCurrent === true || !(error instanceof DebianError) || error.code !== 'ERR_GONE') throw error
    return work(await Archive.open({ ...options, isCurrent: true }))
  }
}

/** The pinned version of a package of a release; undefined if it has none. */
export const pinnedVersion = (release: ReleaseName, name: string): string | undefined =>
  PINNED(release).find((pin) => pin.name === name)?.version

/** Packages of a release by their names and SHA-256, without apt. Other packages are looked up in the signed lists. */
export class Archive implements PackageSource {
  readonly #options: ArchiveOptions
  readonly #release: ReleaseName
  readonly #folder: string
  /** Addresses that have the files, the first to be asked first. */
  readonly #servers: readonly string[]
  readonly #snapshots: string
  /** A folder of the user's that has the files; then no server is asked. */
  readonly #files = variable('RETRAP_DEBIAN_FILES')
  readonly #lists: PackageLists
  #onProgress: OnProgress = () => {}

  private constructor(options: ArchiveOptions, folder: string, servers: readonly string[]) {
    this.#options = options
    this.#release = options.release ?? USUAL_RELEASE
    this.#folder = folder
    this.#servers = servers
    this.#snapshots = variable('RETRAP_DEBIAN_SNAPSHOTS') ?? SNAPSHOTS
    const { title, suites: names } = RELEASES[this.#release]
    const suites = names.map((name): Suite => ({ name, isSecurity: false }))
    // A mirror of another name need not have a security archive at the usual place beside it.
    if (options.withoutSecurity !== true && servers.some((server) => server.endsWith('/debian')))
      suites.push({ name: `${names[0]}-security`, isSecurity: true })
    const fetchList: FetchList = (suite, path, wanted) =>
      this.#fetch(path, wanted, this.#addresses(path, suite.isSecurity)).catch((error: unknown) => {
        if (!(error instanceof DebianError) || error.code !== 'ERR_GONE' || !path.endsWith('/InRelease')) throw error
        throw new DebianError(
          'ERR_FETCH',
          `${title} (${suite.name}) is not at ${servers.join(', ')}; set RETRAP_DEBIAN_MIRROR to a mirror that has it`,
        )
      })
    this.#lists = new PackageLists(suites, options.keys ?? DEBIAN_KEYS, fetchList, options.mayBeOld)
  }

  /** Opens the archive. Nothing is fetched yet. */
  static async open(options: ArchiveOptions): Promise<Archive> {
    const named = options.mirror ?? variable('RETRAP_DEBIAN_MIRROR')
    const servers = named === undefined ? [...(await hostMirrors()), DEBIAN] : [named]
    const folder = await mkdtemp(join(options.directory, 'packages-'))
    return new Archive(options, folder, [...new Set(servers.map((uri) => uri.replace(/\/$/, '')))])
  }

  /** Looks up a package by name. @throws DebianError `ERR_FETCH` if it does not exist */
  async show(name: string): Promise<PackageRecord> {
    return this.find(name)
  }

  /**
   * Downloads packages, verified.
   *
   * @returns the folder with archives, by the mirror's names: PACKAGE_VERSION_ARCHITECTURE.deb
   */
  async download(names: readonly string[], onProgress?: OnProgress): Promise<string> {
    this.#onProgress = onProgress ?? (() => {})
    const packages: ListedPackage[] = []
    for (const name of names) packages.push(await this.find(name))
    await this.#take(packages)
    return this.#folder
  }

  /** Downloads one version of a source package, verified. @returns the paths of its files */
  async downloadSource(name: string, version: string, onProgress?: OnProgress): Promise<readonly string[]> {
    this.#onProgress = onProgress ?? (() => {})
    return this.#take([await this.find(`${name}:source`, version)])
  }

  /** Finds a package of the archive. @param name - `:source` behind it names a source package */
  async find(name: string, version?: string): Promise<ListedPackage> {
    const [bare = '', architecture = this.#options.architectures?.[0] ?? 'amd64'] = name.split(':')
    const { isCurrent, pinned = PINNED(this.#release) } = this.#options
    const pin = pinned.find(
      (one) =>
        one.name === bare &&
        (one.architecture === architecture || (one.architecture === 'all' && architecture !== 'source')) &&
        (version === undefined || one.version === version),
    )
    if (pin !== undefined && isCurrent !== true) return pin
    if (this.#files !== undefined)
      throw new DebianError(
        'ERR_FETCH',
        `RETRAP_DEBIAN_FILES: a folder serves the packages that retrap has pinned, and ${name} is none of them; leave the variable out`,
      )
    const found = await this.#lists.find(bare, architecture, version)
    if (found !== undefined) return found
    const what = architecture === 'source' ? `source package ${bare}` : `package ${name}`
    throw new DebianError(
      'ERR_FETCH',
      `${RELEASES[this.#release].title} has no ${what}${version === undefined ? '' : ` of version ${version}`}`,
    )
  }

  /** Fetches the files of packages. @returns their paths */
  async #take(packages: readonly ListedPackage[]): Promise<string[]> {
    const files = packages.flatMap((one) => one.files.map((file) => ({ one, file })))
    if (this.#files !== undefined)
      return this.#takeFrom(
        this.#files,
        files.map(({ file }) => file),
      )
    const paths: string[] = []
    for (const { one, file } of files) {
      const wanted = { what: one.name, size: file.size, sha256: file.sha256 }
      const rest = files.slice(paths.length).map((other) => other.file)
      paths.push(await this.#fetch(file.path, wanted, this.#addresses(file.path, one.isSecurity === true), rest))
    }
    return paths
  }

  /** Takes files out of the user's folder. */
  async #takeFrom(folder: string, files: readonly ListedFile[]): Promise<string[]> {
    const there: readonly string[] = await readdir(folder).catch(() => [])
    const missing = files.filter(({ path }) => !there.includes(basename(path)))
    if (missing.length > 0)
      throw new DebianError('ERR_FETCH', `RETRAP_DEBIAN_FILES: the folder ${folder} lacks files; ${fetchBy(missing)}`)
    return Promise.all(
      files.map(async ({ path, sha256 }) => {
        const target = join(this.#folder, basename(path))
        await copyFile(join(folder, basename(path)), target)
        if ((await hashFile(target)) === sha256) return target
        throw new DebianError(
          'ERR_FETCH',
          `${join(folder, basename(path))} is another file: its SHA-256 should be ${sha256}`,
        )
      }),
    )
  }

  #addresses(path: string, isSecurity: boolean): string[] {
    const archive = isSecurity ? 'debian-security' : 'debian'
    const servers = isSecurity
      ? this.#servers.filter((server) => server.endsWith('/debian')).map((server) => `${server}-security`)
      : this.#servers
    const old = path.startsWith('dists/') ? [] : [`${this.#snapshots}/${archive}/${SNAPSHOT_TIMES[this.#release]}`]
    return [...servers, ...old].map((server) => `${server}/${path}`)
  }

  /** Asks one server after another for a file. @param rest - files that the user needs instead where no server is reached */
  async #fetch(
    path: string,
    wanted: WantedFile,
    addresses: readonly string[],
    rest: readonly ListedFile[] = [],
  ): Promise<string> {
    const target = join(this.#folder, basename(path))
    const failures: TransferError[] = []
    const reasons: string[] = []
    for (const address of addresses) {
      try {
        await transfer(address, target, wanted, this.#onProgress, this.#options.stallMs)
        return target
      } catch (error) {
        if (!(error instanceof TransferError))
          throw new DebianError('ERR_FETCH', `no space is left on the disk of ${target}`)
        failures.push(error)
        reasons.push(`${address}: ${error.message}`)
      }
    }
    const message = `${wanted.what} cannot be fetched: ${reasons.join('; ')}`
    if (failures.some(({ kind }) => kind === 'wrong')) throw new DebianError('ERR_FETCH', message)
    if (failures.some(({ kind }) => kind === 'absent')) throw new DebianError('ERR_GONE', message)
    const files = rest.length === 0 ? '' : `, or RETRAP_DEBIAN_FILES to a folder; ${fetchBy(rest)}`
    throw new DebianError(
      'ERR_NETWORK',
      `${message}; connect this host, or set http_proxy, or RETRAP_DEBIAN_MIRROR to a mirror such as ${DEBIAN}${files}`,
    )
  }
}

const fetchBy = (files: readonly ListedFile[]): string =>
  `it must hold the files at the ends of these addresses: ${files.map(({ path }) => `${DEBIAN}/${path}`).join(' ')}`

const variable = (name: string): string | undefined => process.env[name] || undefined

/** The mirrors that the host's apt is configured for, where the host is a Debian. */
async function hostMirrors(): Promise<string[]> {
  const folder = '/etc/apt/sources.list.d'
  const names = (await readdir(folder).catch((): string[] => [])).filter((name) => /\.(?:list|sources)$/.test(name))
  const files = ['/etc/apt/sources.list', ...names.map((name) => join(folder, name))]
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
  const lines = texts.join('\n').matchAll(/^(?:deb\s+(?:\[[^\]]*\]\s*)?|URIs:)(.*)$/gm)
  const addresses = [...lines].flatMap(([, text = '']) => text.trim().split(/\s+/))
  return addresses.filter((uri) => /^https?:\/\/.*\/debian\/?$/.test(uri))
}
