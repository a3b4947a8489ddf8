import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../cli-error.ts'

/** Called as a transfer goes on, with a fraction from 0 to 1. */
export type OnProgress = (fraction: number, what: string) => void

/** What apt knows of one package: its newest version, and the names that it depends on. */
export interface PackageRecord {
  readonly name: string
  readonly version: string
  readonly dependsOn: readonly string[]
}

export interface AptOptions {
  /** An empty folder that apt may fill; the caller removes it. */
  readonly directory: string
  /** Overrides where packages come from: the folder above `dists`, such as `http://deb.debian.org/debian`. */
  readonly mirror?: string
  /** Debian's names of the architectures whose packages are wanted; amd64 unless given. */
  readonly architectures?: readonly string[]
  /** Leaves the security archive out, whose packages change from day to day. */
  readonly withoutSecurity?: boolean
}

/** Debian 12. A release is named rather than followed, so that everyone boots the same thing. */
const RELEASE = 'bookworm'
const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * apt with a state of its own. Nothing of the host's package state is read or written,
 * no privileges are needed, and signatures and checksums are verified by apt as always.
 * The host's apt configuration (proxies, certificates) stays in force.
 */
export class Apt {
  readonly #directory: string
  readonly #settings: readonly string[]

  private constructor(directory: string, architectures: readonly string[]) {
    this.#directory = directory
    const settings: Record<string, string> = {
      'Dir::State': join(directory, 'state'),
      'Dir::Cache': join(directory, 'cache'),
      'Dir::Etc::sourcelist': '/dev/null',
      'Dir::Etc::sourceparts': join(directory, 'sources'),
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': '/dev/null',
      // The guest is a PC, whatever the host is.
      'APT::Architecture': 'amd64',
      'APT::Architectures': architectures.join(','),
      // Run as root, apt would drop to a user that may not write to our folder.
      'APT::Sandbox::User': '',
      'APT::Status-Fd': '3',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '2',
    }
    this.#settings = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  }

  /** Whether this host has apt and what it takes to unpack a package. */
  static async isAvailable(): Promise<boolean> {
    const found = await Promise.all(
      ['apt-get', 'dpkg-deb', 'tar'].map((tool) => execute(tool, ['--version']).then(Boolean, () => false)),
    )
    return found.every(Boolean)
  }

  /** Prepares the folder and fetches the lists of packages. */
  static async open(options: AptOptions, onProgress: OnProgress): Promise<Apt> {
    const { directory } = options
    for (const folder of ['state/lists/partial', 'cache/archives/partial', 'sources', 'packages']) {
      await mkdir(join(directory, folder), { recursive: true })
    }
    const main = options.mirror ?? (await hostMirror('debian')) ?? 'http://deb.debian.org/debian'
    const security =
      options.mirror?.replace(/\/debian\/?$/, '/debian-security') ??
      (await hostMirror('debian-security')) ??
      'http://deb.debian.org/debian-security'
    const sources = [
      source(main, `${RELEASE} ${RELEASE}-updates`),
      // A mirror given by hand need not have a security archive at the usual place beside it.
      ...(security === options.mirror || options.withoutSecurity === true
        ? []
        : [source(security, `${RELEASE}-security`)]),
    ]
    await writeFile(join(directory, 'sources', 'debian.sources'), sources.join('\n'))

    const apt = new Apt(directory, options.architectures ?? ['amd64'])
    // By default apt calls it a success when a list could not be had; later steps would then fail obscurely.
    const settings = ['-o', 'APT::Update::Error-Mode=any']
    await apt.#run('apt-get', [...settings, 'update'], 'package lists', onProgress)
    return apt
  }

  /** Looks a package up by name. */
  async show(name: string): Promise<PackageRecord> {
    const text = await this.#run('apt-cache', ['show', '--no-all-versions', name], name)
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(text)?.[1] ?? ''
    const dependsOn = field('Depends')
      .split(',')
      .map((clause) => clause.trim().split(/[ |]/)[0] ?? '')
      .filter((dependency) => dependency !== '')
    return { name: field('Package'), version: field('Version'), dependsOn }
  }

  /** Downloads packages by name, verified, into a folder it returns. */
  async download(names: readonly string[], onProgress: OnProgress): Promise<string> {
    const folder = join(this.#directory, 'packages')
    await this.#run('apt-get', ['download', ...names], names[0] ?? '', onProgress, folder)
    return folder
  }

  async #run(tool: string, args: string[], what: string, onProgress?: OnProgress, cwd?: string): Promise<string> {
    try {
      return await execute(tool, [...this.#settings, '-q', ...args], {
        ...(cwd === undefined ? {} : { cwd }),
        onStatus: (line) => {
          // "dlstatus:FILE:PERCENT:TEXT" (apt, README.progress-reporting)
          const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1]
          if (percent !== undefined) onProgress?.(Number(percent) / 100, what)
        },
      })
    } catch (error) {
      throw new CliError('ERR_FETCH', `apt could not get ${what} from Debian: ${reason(error)}`)
    }
  }
}

/**
 * Unpacks chosen files of a Debian package into a folder.
 *
 * @param members - paths as in the archive (`./boot/vmlinuz-*`); shell patterns are allowed
 */
export async function unpackPackage(file: string, folder: string, members: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  // The shell's positional parameters keep every name out of the script's text.
  const script = 'set -o pipefail; dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "${@:3}"'
  try {
    await execute('bash', ['-c', script, 'unpack', file, folder, ...members])
  } catch (error) {
    throw new CliError('ERR_FETCH', `${file} does not hold what was expected: ${reason(error)}`)
  }
}

function source(uri: string, suites: string): string {
  return `Types: deb\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\nSigned-By: ${DEBIAN_KEYRING}\n`
}

/** The mirror that the host itself uses for a Debian archive, if it is a Debian. */
async function hostMirror(archive: string): Promise<string | undefined> {
  const list = await execute('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']).catch(
    () => '',
  )
  return list.split('\n').find((uri) => uri.replace(/\/$/, '').endsWith(`/${archive}`))
}

interface ExecuteOptions {
  readonly cwd?: string
  /** Receives the lines that the program writes to file descriptor 3. */
  readonly onStatus?: (line: string) => void
}

function execute(program: string, args: readonly string[], options: ExecuteOptions = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = spawn(program, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  let status = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  child.stdio[3]?.on('data', (bytes: Uint8Array) => {
    const lines = (status + Buffer.from(bytes).toString('utf8')).split('\n')
    status = lines.pop() ?? ''
    for (const line of lines) options.onStatus?.(line)
  })
  child.on('error', reject)
  child.on('close', (code) => {
    if (code === 0) resolve(output)
    else reject(new Error(errors.trim() || `${program} ended with ${code}`))
  })
  return promise
}

/** The one line of a tool's complaint that says most. */
function reason(error: unknown): string {
  const lines = (error instanceof Error ? error.message : String(error)).split('\n')
  return lines.find((line) => line.startsWith('E: '))?.slice(3) ?? lines.at(-1) ?? ''
}
