import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dependenciesOf, fieldOf } from './deb.ts'
import { DebianError } from './errors.ts'
import { execute } from './execute.ts'
import { type ReleaseName, RELEASES, USUAL_RELEASE } from './releases.ts'

/** Called during a transfer, with a fraction from 0 to 1. */
export type OnProgress = (fraction: number, what: string) => void

/** The newest version of a package, and the names that it depends on. */
export interface PackageRecord {
  readonly name: string
  readonly version: string
  readonly dependsOn: readonly string[]
}

/** The sources of packages, and apt's folders. */
export interface AptOptions {
  /** An empty folder that apt may fill; the caller removes it. */
  readonly directory: string
  /**
   * `debian` has the release that guests are booted from. `host` is the configuration of the host's own apt: its
   * programs run on the host; the other options about sources have no effect then.
   */
  readonly archive?: 'debian' | 'host'
  /** The release; Debian 12 unless given. */
  readonly release?: ReleaseName
  /** Overrides where packages come from: the folder above `dists`, such as `http://deb.debian.org/debian`. */
  readonly mirror?: string
  /**
   * Debian's names of the architectures whose packages are wanted; amd64 unless given. Names without an architecture are
   * packages of the first.
   */
  readonly architectures?: readonly string[]
  /** Leaves the security archive out, whose packages change from day to day. */
  readonly withoutSecurity?: boolean
  /** Fetches the lists of source packages as well, for {@link Apt.downloadSource}. No effect on the host's archives. */
  readonly withSources?: boolean
  /** Longest time for which apt may make no progress. */
  readonly stallMs?: number
}

/** Default address of Debian's archive. */
export const DEBIAN = 'http://deb.debian.org/debian'
const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** A slow mirror makes some progress in this time, and so does a busy host that reads the lists. */
const STALL_MS = 120_000

/**
 * apt with a state of its own: it takes no privileges, and the host's packages are neither changed nor consulted.
 * Signatures and checksums are verified by apt as always. The host's apt configuration (proxies, certificates) applies.
 */
export class Apt {
  readonly #directory: string
  readonly #settings: readonly string[]
  readonly #stallMs: number

  private constructor(options: AptOptions) {
    const { directory, architectures = ['amd64'] } = options
    this.#directory = directory
    this.#stallMs = options.stallMs ?? STALL_MS
    const settings: Record<string, string> = {
      'Dir::State': join(directory, 'state'),
      // Empty. With the host's, apt would leave packages that the host has installed out of a closure.
      'Dir::State::status': join(directory, 'status'),
      'Dir::Cache': join(directory, 'cache'),
      // Run as root, apt would drop to a user that may not write to our folder.
      'APT::Sandbox::User': '',
      'APT::Install-Recommends': '0',
      'APT::Install-Suggests': '0',
      'APT::Status-Fd': '3',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '2',
      ...(options.archive !== 'host' && {
        'Dir::Etc::sourcelist': '/dev/null',
        'Dir::Etc::sourceparts': join(directory, 'sources'),
        'Dir::Etc::preferences': '/dev/null',
        'Dir::Etc::preferencesparts': '/dev/null',
        // Architectures of the guest, not of the host.
        'APT::Architecture': architectures[0] ?? 'amd64',
        'APT::Architectures': architectures.join(','),
      }),
    }
    this.#settings = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  }

  /** Returns whether this host has apt. */
  static async isAvailable(): Promise<boolean> {
    const found = await Promise.all(
      ['apt-get', 'apt-cache'].map((tool) =>
        execute(tool, ['--version']).then(
          () => true,
          () => false,
        ),
      ),
    )
    return found.every(Boolean)
  }

  /**
   * Prepares the folder and fetches the lists of packages.
   *
   * @throws DebianError `ERR_NO_APT`, `ERR_FETCH`
   */
  static async open(options: AptOptions, onProgress: OnProgress = ignore): Promise<Apt> {
    if (!(await Apt.isAvailable())) throw new DebianError('ERR_NO_APT', 'apt is not installed on this machine')
    const { directory } = options
    for (const folder of ['state/lists/partial', 'cache/archives/partial', 'sources', 'packages', 'empty/partial']) {
      await mkdir(join(directory, folder), { recursive: true })
    }
    await writeFile(join(directory, 'status'), '')
    if (options.archive !== 'host') await writeSources(options)

    const apt = new Apt(options)
    // By default apt ignores lists that cannot be fetched; later steps would fail with obscure errors.
    const settings = ['-o', 'APT::Update::Error-Mode=any']
    await apt.#run('apt-get', [...settings, 'update'], 'package lists', onProgress)
    return apt
  }
  /** Looks up a package by name. */
  async show(name: string): Promise<PackageRecord> {
    const text = await this.#run('apt-cache', ['show', '--no-all-versions', name], name)
    return { name: fieldOf(text, 'Package'), version: fieldOf(text, 'Version'), dependsOn: dependenciesOf(text) }
  }

  /**
   * Downloads packages, verified.
   *
   * @returns the folder with archives named PACKAGE_VERSION_ARCHITECTURE.deb
   */
  async download(names: readonly string[], onProgress: OnProgress = ignore): Promise<string> {
    const folder = join(this.#directory, 'packages')
    await this.#run('apt-get', ['download', ...names], names[0] ?? '', onProgress, folder)
    return folder
  }

  /**
   * Downloads packages with all dependencies, regardless of the host's packages.
   *
   * @returns the paths of the archives
   */
  async downloadClosure(names: readonly string[], onProgress: OnProgress = ignore): Promise<readonly string[]> {
    const install = ['install', '--download-only', '-y', ...names]
    // An empty cache, because apt only prints packages missing from its cache.
    const empty = ['-o', `Dir::Cache::Archives=${join(this.#directory, 'empty')}`]
    const list = await this.#run('apt-get', [...empty, '--print-uris', ...install], names[0] ?? '')
    // 'URI' FILE SIZE HASH
    const files = [...list.matchAll(/^'[^']+' (\S+\.deb) /gm)].map((match) => match[1]!)
    await this.#run('apt-get', install, names[0] ?? '', onProgress)
    return files.map((file) => join(this.#directory, 'cache', 'archives', file))
  }

  /**
   * Downloads one version of a source package, verified.
   *
   * @returns the paths of its files: the `.dsc` and the archives that it names
   */
  async downloadSource(name: string, version: string, onProgress: OnProgress = ignore): Promise<readonly string[]> {
    // apt does not list existing files.
    const folder = await mkdtemp(join(this.#directory, 'source-'))
    const source = ['source', '--only-source', '--download-only', `${name}=${version}`]
    // 'URI' FILE SIZE HASH
    const list = await this.#run('apt-get', ['--print-uris', ...source], name, undefined, folder)
    const files = [...list.matchAll(/^'[^']+' (\S+) \d+ /gm)].map((match) => match[1]!)
    if (!files.some((file) => file.endsWith('.dsc')))
      throw new DebianError('ERR_FETCH', `apt has no source package ${name} of version ${version}`)
    await this.#run('apt-get', source, name, onProgress, folder)
    return files.map((file) => join(folder, file))
  }

  async #run(tool: string, args: string[], what: string, onProgress?: OnProgress, cwd?: string): Promise<string> {
    try {
      return await execute(tool, [...this.#settings, '-q', ...args], {
        ...(cwd === undefined ? {} : { cwd }),
        stall: { folder: this.#directory, milliseconds: this.#stallMs },
        onStatus: (line) => {
          // "dlstatus:FILE:PERCENT:TEXT" (apt, README.progress-reporting)
          const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1]
          if (percent !== undefined) onProgress?.(Number(percent) / 100, what)
        },
      })
    } catch (error) {
      throw new DebianError('ERR_FETCH', `apt could not get ${what} from Debian: ${reason(error)}`)
    }
  }
}

/** Writes the sources of a release. */
async function writeSources(options: AptOptions): Promise<void> {
  const main = options.mirror ?? (await hostMirror('debian')) ?? DEBIAN
  const security =
    options.mirror?.replace(/\/debian\/?$/, '/debian-security') ??
    (await hostMirror('debian-security')) ??
    'http://deb.debian.org/debian-security'
  const { suites } = RELEASES[options.release ?? USUAL_RELEASE]
  const sources = [
    source(main, suites.join(' '), options),
    // A mirror given by hand need not have a security archive at the usual place beside it.
    ...(security === options.mirror || options.withoutSecurity === true
      ? []
      : [source(security, `${suites[0]}-security`, options)]),
  ]
  await writeFile(join(options.directory, 'sources', 'debian.sources'), sources.join('\n'))
}

function source(uri: string, suites: string, { withSources = false }: AptOptions): string {
  return `Types: deb${withSources ? ' deb-src' : ''}\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\nSigned-By: ${DEBIAN_KEYRING}\n`
}

const ignore = (): void => {}

/** The mirror that the host itself uses for a Debian archive, if it is a Debian. */
async function hostMirror(archive: string): Promise<string | undefined> {
  const list = await execute('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']).catch(
    () => '',
  )
  return list.split('\n').find((uri) => uri.replace(/\/$/, '').endsWith(`/${archive}`))
}

/** Returns the most useful line of a tool's error output. */
function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  // Programs print this cause among the errors that it leads to.
  if (/No space left on device/i.test(text)) return 'no space is left on the disk'
  const lines = text.split('\n')
  return lines.find((line) => line.startsWith('E: '))?.slice(3) ?? lines.at(-1) ?? ''
}
