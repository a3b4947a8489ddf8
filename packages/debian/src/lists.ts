import { readFile } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { decompressed, dependenciesOf, fieldOf } from './deb.ts'
import { DebianError } from './errors.ts'
import type { ArchiveKey } from './keys.ts'
import { verifyClearSigned } from './open-pgp.ts'
import type { WantedFile } from './transfer.ts'

/** A file of the archive. */
export interface ListedFile {
  /** Path below the mirror. */
  readonly path: string
  readonly size: number
  readonly sha256: string
}

/** A package of one version with its file, or a source package with its files. */
export interface ListedPackage {
  readonly name: string
  readonly version: string
  /** `source` of a source package. */
  readonly architecture: string
  readonly dependsOn: readonly string[]
  readonly files: readonly ListedFile[]
  /** A file is in the archive of security updates. */
  readonly isSecurity?: boolean
}

/** A part of an archive that is signed as a whole. */
export interface Suite {
  readonly name: string
  readonly isSecurity: boolean
}

/** The lists of a release say less than this, compressed or not; a longer one is a mistake. */
const MOST_RELEASE = 4 << 20
const MOST_LIST = 512 << 20

/** Fetches a file relative to an archive's address. @returns its local path */
export type FetchList = (suite: Suite, path: string, wanted: WantedFile) => Promise<string>

/** The signed lists of an archive's packages, each fetched on first use. */
export class PackageLists {
  readonly #suites: readonly Suite[]
  readonly #keys: readonly ArchiveKey[]
  readonly #fetch: FetchList
  readonly #mayBeOld: boolean
  readonly #releases = new Map<Suite, Promise<string>>()
  readonly #lists = new Map<string, Promise<Buffer>>()

  /** @param mayBeOld - takes lists whose validity has ended */
  constructor(suites: readonly Suite[], keys: readonly ArchiveKey[], fetchList: FetchList, mayBeOld = false) {
    this.#suites = suites
    this.#keys = keys
    this.#fetch = fetchList
    this.#mayBeOld = mayBeOld
  }

  /** Finds the newest version of a package, or of a source package the version that is named. */
  async find(name: string, architecture: string, version?: string): Promise<ListedPackage | undefined> {
    const path = architecture === 'source' ? 'main/source/Sources' : `main/binary-${architecture}/Packages`
    let newest: ListedPackage | undefined
    for (const suite of this.#suites) {
      for (const text of recordsOf(await this.#list(suite, path), name)) {
        const found = architecture === 'source' ? sourceIn(text) : packageIn(text)
        if (version !== undefined && found.version !== version) continue
        if (newest === undefined || compareVersions(found.version, newest.version) > 0)
          newest = { ...found, isSecurity: suite.isSecurity }
      }
    }
    return newest
  }

  #list(suite: Suite, path: string): Promise<Buffer> {
    const key = `${suite.name}/${path}`
    let list = this.#lists.get(key)
    if (list === undefined) this.#lists.set(key, (list = this.#read(suite, path)))
    return list
  }

  async #read(suite: Suite, path: string): Promise<Buffer> {
    let release = this.#releases.get(suite)
    if (release === undefined) this.#releases.set(suite, (release = this.#readRelease(suite)))
    const text = await release
    const line = new RegExp(`^ ([0-9a-f]{64}) +(\\d+) ${path.replaceAll('.', '\\.')}\\.xz$`, 'm').exec(text)
    if (line === null) throw new DebianError('ERR_FETCH', `${suite.name} of Debian lists no ${path}.xz`)
    const [, sha256 = '', size = ''] = line
    // A mirror may be renewed between both requests: a name that is the hash has the old list for a while.
    const folder =
      fieldOf(text, 'Acquire-By-Hash') === 'yes' ? path.replace(/[^/]+$/, `by-hash/SHA256/${sha256}`) : `${path}.xz`
    const wanted = { what: 'package lists', size: Number(size), sha256 }
    const file = await this.#fetch(suite, `dists/${suite.name}/${folder}`, wanted)
    const parts: Uint8Array[] = []
    let length = 0
    for await (const part of await decompressed('.xz', createReadStream(file))) {
      length += part.length
      if (length > MOST_LIST)
        throw new DebianError('ERR_FETCH', `${suite.name}: ${path} has more than ${MOST_LIST} bytes`)
      parts.push(part)
    }
    return Buffer.concat([Buffer.from('\n\n'), ...parts])
  }

  async #readRelease(suite: Suite): Promise<string> {
    const path = `dists/${suite.name}/InRelease`
    const file = await this.#fetch(suite, path, { what: 'package lists', size: MOST_RELEASE })
    const text = verifyClearSigned(await readFile(file, 'utf8'), this.#keys, path)
    const until = new Date(fieldOf(text, 'Valid-Until'))
    if (until < new Date() && !this.#mayBeOld)
      throw new DebianError(
        'ERR_FETCH',
        `${path} was valid until ${until.toISOString()}: the mirror is not renewed any more, or the clock is wrong`,
      )
    return text
  }
}

/** Yields a list's records of a package, usually one. */
function* recordsOf(list: Buffer, name: string): Generator<string> {
  const line = `\nPackage: ${name}\n`
  for (let at = list.indexOf(line); at >= 0; at = list.indexOf(line, at + 1)) {
    const end = list.indexOf('\n\n', at + 1)
    yield list.toString('utf8', list.lastIndexOf('\n\n', at) + 1, end < 0 ? list.length : end)
  }
}

function packageIn(text: string): ListedPackage {
  return {
    name: fieldOf(text, 'Package'),
    version: fieldOf(text, 'Version'),
    architecture: fieldOf(text, 'Architecture'),
    dependsOn: dependenciesOf(text),
    files: [{ path: fieldOf(text, 'Filename'), size: Number(fieldOf(text, 'Size')), sha256: fieldOf(text, 'SHA256') }],
  }
}

function sourceIn(text: string): ListedPackage {
  const folder = fieldOf(text, 'Directory')
  const files = [...fieldOf(text, 'Checksums-Sha256').matchAll(/^ (\S+) (\d+) (\S+)$/gm)]
  return {
    name: fieldOf(text, 'Package'),
    version: fieldOf(text, 'Version'),
    architecture: 'source',
    dependsOn: [],
    files: files.map(([, sha256 = '', size = '', name = '']) => ({
      path: `${folder}/${name}`,
      size: Number(size),
      sha256,
    })),
  }
}

/**
 * Compares versions of packages.
 *
 * Source: Debian Policy Manual, 5.6.12, "Version".
 *
 * @returns above zero where the first is newer
 */
export function compareVersions(a: string, b: string): number {
  const parts = (version: string): string[] => {
    const [, epoch = '0', upstream = '', revision = '0'] = /^(?:(\d+):)?(.*?)(?:-([^-]*))?$/s.exec(version) ?? []
    return [epoch, upstream, revision]
  }
  const others = parts(b)
  for (const [i, part] of parts(a).entries()) {
    const order = compareParts(part, others[i]!)
    if (order !== 0) return order
  }
  return 0
}

/** Texts and numbers take turns. A tilde comes before the end of a text, and letters before other characters. */
function compareParts(a: string, b: string): number {
  const rank = (text: string, at: number): number => {
    const character = text.charAt(at)
    if (character === '~') return -1
    return character === '' ? 0 : character.charCodeAt(0) + (/[A-Za-z]/.test(character) ? 0 : 256)
  }
  let [restA, restB] = [a, b]
  while (restA !== '' || restB !== '') {
    const [, textA = '', digitsA = ''] = /^(\D*)(\d*)/.exec(restA)!
    const [, textB = '', digitsB = ''] = /^(\D*)(\d*)/.exec(restB)!
    for (let at = 0; at < Math.max(textA.length, textB.length); at++) {
      const order = rank(textA, at) - rank(textB, at)
      if (order !== 0) return order
    }
    const order = Number(digitsA) - Number(digitsB)
    if (order !== 0) return order
    restA = restA.slice(textA.length + digitsA.length)
    restB = restB.slice(textB.length + digitsB.length)
  }
  return 0
}
