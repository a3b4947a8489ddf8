import { createHash, randomUUID } from 'node:crypto'
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DEFAULT_LIMITS, OciError } from '../index.ts'
import { digestText, parseDigest } from '../digest.ts'
import { JsonValue } from '../json.ts'
import { descriptorOf } from '../manifests.ts'
import { type ImageReference, nameOf, parseReference } from '../registry/reference.ts'
import { type Blob, resolveImage } from '../registry/resolve.ts'
import { dockerCredentials } from './docker-config.ts'
import { withFileLock } from './file-lock.ts'
import { cacheError, NEW, removeOldest } from './layer-cache.ts'
import { codeOf, openLocalFile } from './local-files.ts'
import { proxyFetch } from './proxy-fetch.ts'
import { type Credentials, RegistryClient, type RegistryOptions } from './registry-client.ts'
import { checkFile } from './unpack.ts'

/** When a registry is asked: at each use, for an image that is not kept, or not at all. */
export type PullPolicy = 'always' | 'missing' | 'never'

/** Options of {@link pullImage}. */
export interface PullOptions extends Partial<Pick<RegistryOptions, 'fetch' | 'signal' | 'stallMs' | 'pauseMs'>> {
  /** GOARCH's name of the processor: `amd64`, `arm64`. */
  readonly architecture: string
  /** The folder of pulled images, created if absent. */
  readonly folder: string
  /** Default `missing`. */
  readonly policy?: PullPolicy | undefined
  /** Most bytes of the folder; least recently used layers are removed first. Default 20 GiB. */
  readonly mostBytes?: number
  /** Called with a fraction from 0 to 1, and the name of the image. */
  readonly onProgress?: ((fraction: number, name: string) => void) | undefined
  /** Default: the credentials of docker's configuration. */
  readonly credentials?: (domain: string) => Promise<Credentials>
}

/** An image of a registry that is kept in a folder. */
export interface PulledImage {
  /** The folder of an OCI layout with this image alone. */
  readonly path: string
  /** The whole name, such as `docker.io/library/python:3.12`. */
  readonly name: string
  /** Digest of its manifest for the processor, such as `sha256:…`. */
  readonly digest: string
  /** GOARCH's name of the processor. */
  readonly architecture: string
  /** When the registry was asked, in milliseconds since 1970. */
  readonly pulledAt: number
  /** Bytes of its layers as they were pulled. */
  readonly bytes: number
}

/** Layers that are pulled at the same time. */
const PARALLEL = 3
/** The file that names a kept image, in the folder of its name and processor. */
const NAMED = 'image.json'
const LOCK = 'lock'

/** Whether a text can be the name of an image in a registry. */
export const isImageName = (text: string): boolean => parseReference(text) !== undefined

/**
 * Returns an image of a registry, pulled as far as it is not kept. Several processes that want the same pull it once.
 *
 * @param name - as docker takes it: `python:3.12`, `localhost:5000/x`, `ghcr.io/a/b@sha256:…`
 * @throws OciError; the reason of an aborted signal
 */
export async function pullImage(name: string, options: PullOptions): Promise<PulledImage> {
  const reference = parseReference(name)
  if (reference === undefined) throw new OciError('ERR_NAME', name, 'no image of a registry can have this name')
  try {
    return await new Pull(reference, options).image()
  } catch (error) {
    throw cacheError(options.folder, error)
  }
}

/** Lists the images that are kept completely, by name. */
export async function pulledImages(folder: string): Promise<readonly PulledImage[]> {
  const names = await readdir(join(folder, 'images')).catch(() => [])
  const all = await Promise.all(names.map((name) => keptImage(join(folder, 'images', name), false)))
  return all.filter((one) => one !== undefined).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * Removes pulled images, unless a process is pulling them.
 *
 * @param more - folders of unpacked layers, which are removed, too
 * @returns bytes that have become free
 */
export async function prunePulledImages(folder: string, more: readonly string[] = []): Promise<number> {
  const names = await readdir(join(folder, 'images')).catch(() => [])
  for (const path of names.map((name) => join(folder, 'images', name)))
    // oxlint-disable-next-line no-await-in-loop -- one by one
    if (!(await isThere(join(path, LOCK)))) await rm(path, { recursive: true, force: true })
  const all = [join(folder, 'blobs'), ...more].map((one) => removeOldest(one, { mostBytes: 0 }))
  return (await Promise.all(all)).reduce((sum, bytes) => sum + bytes, 0)
}

/** Reads an image in its folder; undefined if a part is missing. @param isUsed - whether its layers count as new */
async function keptImage(folder: string, isUsed: boolean): Promise<PulledImage | undefined> {
  try {
    const kept = JSON.parse(await readFile(join(folder, NAMED), 'utf8')) as PulledImage
    const digest = parseDigest(kept.digest, NAMED)
    const path = join(folder, basename(kept.path))
    const json = JsonValue.parse(await readFile(blobPath(path, { digest })), path)
    const blobs = [json.at('config'), ...json.at('layers').list].map((one) => descriptorOf(one, path))
    const all = [{ digest, size: undefined }, ...blobs]
    const found = await Promise.all(all.map((blob) => isThere(blobPath(path, blob), blob.size, isUsed)))
    return found.every(Boolean) ? { ...kept, path } : undefined
  } catch {
    return undefined
  }
}

const blobPath = (folder: string, { digest: { algorithm, hex } }: Pick<Blob, 'digest'>): string =>
  join(folder, 'blobs', algorithm, hex)

/** Whether a file exists. @param isUsed - whether the file counts as new */
async function isThere(path: string, size?: number, isUsed = false): Promise<boolean> {
  const state = await stat(path).catch(() => undefined)
  if (state === undefined || (size !== undefined && state.size !== size)) return false
  if (isUsed) await utimes(path, new Date(), new Date()).catch(() => {})
  return true
}

/** Writes a file that appears when it is complete. */
async function writeWhole(path: string, value: object): Promise<void> {
  const made = join(dirname(path), `${NEW}${randomUUID()}`)
  await writeFile(made, JSON.stringify(value), { mode: 0o600 })
  await rename(made, path)
}

class Pull {
  readonly #name: string
  readonly #reference: ImageReference
  readonly #options: PullOptions
  readonly #signal: AbortSignal
  readonly #client: RegistryClient
  /** The folder of this name and processor. */
  readonly #folder: string
  #total = 0
  #done = 0

  constructor(reference: ImageReference, options: PullOptions) {
    const { credentials, architecture, signal = new AbortController().signal, ...rest } = options
    const { domain } = reference
    const login = () => credentials?.(domain) ?? dockerCredentials(domain, signal)
    this.#name = nameOf(reference)
    this.#reference = reference
    this.#options = options
    this.#signal = signal
    this.#client = new RegistryClient(reference, { fetch: proxyFetch(), ...rest, signal, credentials: login })
    const key = createHash('sha256').update(`${this.#name} ${architecture}`).digest('hex')
    this.#folder = join(options.folder, 'images', key)
  }

  async image(): Promise<PulledImage> {
    const began = Date.now()
    const { policy = 'missing' } = this.#options
    const kept = policy === 'always' ? undefined : await keptImage(this.#folder, true)
    if (kept !== undefined) return kept
    if (policy === 'never')
      throw new OciError('ERR_MISSING', this.#name, 'it is not kept on this host, and is not to be pulled')
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const signal = this.#signal
    const pull = async () => {
      const other = await keptImage(this.#folder, true)
      const isNew = other !== undefined && (policy === 'missing' || other.pulledAt >= began)
      return isNew ? other : this.#pull()
    }
    return withFileLock(join(this.#folder, LOCK), pull, { signal })
  }

  async #pull(): Promise<PulledImage> {
    const { architecture, folder, mostBytes = 20 * 2 ** 30 } = this.#options
    const pulledAt = Date.now()
    const read = (wanted: string) => this.#client.manifest(wanted)
    const { manifest, config, layers } = await resolveImage(read, this.#reference, architecture, DEFAULT_LIMITS)
    const bytes = layers.reduce((sum, { size }) => sum + size, 0)
    this.#total = bytes + config.size
    await this.#blob(manifest, (file) => file.appendFile(manifest.bytes))
    await this.#blob(config)
    // Layers for another platform need not come.
    const json = JsonValue.parse(await readFile(blobPath(folder, config)), this.#name)
    const platform = `${json.at('os').text}/${json.at('architecture').text}`
    if (platform !== `linux/${architecture}`)
      throw new OciError('ERR_PLATFORM', this.#name, `it is for ${platform}, not for linux/${architecture}`)
    const left = [...layers]
    const take = async (): Promise<void> => {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      for (let layer = left.shift(); layer !== undefined; layer = left.shift()) await this.#blob(layer)
    }
    // After a failure no further layer begins, and the others end first.
    const stopped = () => take().finally(() => left.splice(0))
    const all = await Promise.allSettled(Array.from({ length: PARALLEL }, stopped))
    for (const one of all) if (one.status === 'rejected') throw one.reason
    const { mediaType, digest, size } = manifest
    const { repository, tag = 'image' } = this.#reference
    const path = join(this.#folder, `${basename(repository)}-${tag}-${digest.hex.slice(0, 12)}`)
    const index = { schemaVersion: 2, manifests: [{ mediaType, digest: digestText(digest), size }] }
    await mkdir(path, { recursive: true, mode: 0o700 })
    await symlink(join('..', '..', '..', 'blobs'), join(path, 'blobs'), 'junction').catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    await writeWhole(join(path, 'index.json'), index)
    await writeWhole(join(path, 'oci-layout'), { imageLayoutVersion: '1.0.0' })
    const image = { path, name: this.#name, digest: digestText(digest), architecture, pulledAt, bytes }
    await writeWhole(join(this.#folder, NAMED), image)
    await removeOldest(join(folder, 'blobs'), { mostBytes, stays: ({ time }) => time >= pulledAt })
    return image
  }

  /** Has a blob in the folder. @param take - fetches it, where another pull has not */
  async #blob(blob: Blob, take?: (file: FileHandle) => Promise<void>): Promise<void> {
    const path = blobPath(this.#options.folder, blob)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const fetch = async () => {
      if (await isThere(path, blob.size, true)) return void (this.#done += blob.size)
      // A part that an earlier process has left may be damaged: then all is taken anew.
      const pull = (file: FileHandle) => this.#client.blob(blob, file, (bytes) => this.#came(bytes))
      while (await this.#fetch(blob, `${path}.part`, take ?? pull));
      await rename(`${path}.part`, path)
    }
    await withFileLock(`${path}.lock`, fetch, { signal: this.#signal })
  }

  /** @returns whether another try is of use @throws OciError `ERR_DIGEST` */
  async #fetch(blob: Blob, part: string, take: (file: FileHandle) => Promise<void>): Promise<boolean> {
    const handle = await open(part, 'a', 0o600)
    const { size: before } = await handle.stat()
    try {
      await take(handle)
    } finally {
      await handle.close()
    }
    const file = (await openLocalFile(part))!
    try {
      await checkFile({ ...file, name: `${this.#name}: ${digestText(blob.digest)}` }, blob.digest)
      return false
    } catch (error) {
      await rm(part, { force: true })
      if (before > 0 && error instanceof OciError) return true
      throw error
    } finally {
      await file.close()
    }
  }

  #came(bytes: number): void {
    this.#done += bytes
    this.#options.onProgress?.(Math.min(1, Math.max(0, this.#done / this.#total)), this.#name)
  }
}
