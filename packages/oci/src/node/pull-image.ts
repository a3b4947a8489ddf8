import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DEFAULT_LIMITS, type ImageFiles, memoryFile, OciError } from '../index.ts'
import { checkDigest, digestText, parseDigest } from '../digest.ts'
import { JsonValue } from '../json.ts'
import { blobsOf, closing, type Descriptor, findBelow } from '../manifests.ts'
import {
  type Credentials,
  type ImageReference,
  nameOf,
  parseReference,
  RegistryClient,
  type RegistryOptions,
} from './registry-client.ts'
import { dockerCredentials } from './docker-config.ts'
import { tryFileLock, withFileLock } from './file-lock.ts'
import { cacheError, removeOldest } from './layer-cache.ts'
import { codeOf, openLocalFile, touch, writeWhole } from './local-files.ts'
import { proxyFetch } from './proxy-fetch.ts'
import { checkFile } from './unpack.ts'

/** When a registry is asked: at each use, for an image that is not kept, or not at all. */
export type PullPolicy = 'always' | 'missing' | 'never'

/** Options of {@link pullImage}. */
export interface PullOptions extends Partial<Pick<RegistryOptions, 'fetch' | 'stallMs' | 'pauseMs'>> {
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
  /** Ends the pull. */
  readonly signal?: AbortSignal | undefined
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
    await tryFileLock(join(path, LOCK), () => rm(path, { recursive: true, force: true }))
  const all = [join(folder, 'blobs'), ...more].map((one) => removeOldest(one, { mostBytes: 0 }))
  return (await Promise.all(all)).reduce((sum, bytes) => sum + bytes, 0)
}

/** Reads an image in its folder; undefined if a part is missing. @param isUsed - whether its layers count as new */
async function keptImage(folder: string, isUsed: boolean): Promise<PulledImage | undefined> {
  try {
    const kept = JSON.parse(await readFile(join(folder, NAMED), 'utf8')) as PulledImage
    const digest = parseDigest(kept.digest, NAMED)
    const path = join(folder, basename(kept.path))
    const manifest = blobPath(path, { digest })
    const blobs = blobsOf(JsonValue.parse(await readFile(manifest), path), path)
    if (isUsed) await touch(manifest)
    const found = await Promise.all(blobs.map((blob) => isThere(blobPath(path, blob), blob.size, isUsed)))
    return found.every(Boolean) ? { ...kept, path } : undefined
  } catch {
    return undefined
  }
}

const writeJson = (path: string, value: object): Promise<void> => writeWhole(path, JSON.stringify(value))

const blobPath = (folder: string, { digest: { algorithm, hex } }: Pick<Descriptor, 'digest'>): string =>
  join(folder, 'blobs', algorithm, hex)

/** Whether a file exists. @param isUsed - whether the file counts as new */
async function isThere(path: string, size?: number, isUsed = false): Promise<boolean> {
  const state = await stat(path).catch(() => undefined)
  if (state === undefined || (size !== undefined && state.size !== size)) return false
  if (isUsed) await touch(path)
  return true
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
    const { manifest, layers } = await this.#find()
    const bytes = layers.reduce((sum, { size }) => sum + size, 0)
    const { layers: most, layerBytes } = DEFAULT_LIMITS
    if (layers.length > most || bytes > layerBytes) {
      const reason = `${layers.length} layers of ${bytes} bytes; at most ${most} of ${layerBytes} are read`
      throw new OciError('ERR_LIMIT', this.#name, reason)
    }
    this.#total = Math.max(1, bytes)
    // A failure ends the generator: no further layer begins, and the others end first.
    const left = (function* () {
      yield* layers
    })()
    const take = async (): Promise<void> => {
      for (const layer of left) await this.#layer(layer)
    }
    const all = await Promise.allSettled(Array.from({ length: PARALLEL }, take))
    for (const one of all) if (one.status === 'rejected') throw one.reason
    const { mediaType, size } = manifest
    const digest = digestText(manifest.digest)
    const { repository, tag = 'image' } = this.#reference
    const path = join(this.#folder, `${basename(repository)}-${tag}-${manifest.digest.hex.slice(0, 12)}`)
    await mkdir(path, { recursive: true, mode: 0o700 })
    await symlink(join('..', '..', '..', 'blobs'), join(path, 'blobs'), 'junction').catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    const image = { path, name: this.#name, digest, architecture, pulledAt, bytes }
    await writeJson(join(path, 'index.json'), { schemaVersion: 2, manifests: [{ mediaType, digest, size }] })
    await writeJson(join(path, 'oci-layout'), { imageLayoutVersion: '1.0.0' })
    await writeJson(join(this.#folder, NAMED), image)
    await removeOldest(join(folder, 'blobs'), { mostBytes, stays: ({ time }) => time >= pulledAt })
    return image
  }

  /** Finds the image for the processor, and keeps its manifest and config. */
  async #find(): Promise<{ manifest: Descriptor; layers: readonly Descriptor[] }> {
    const { architecture, folder } = this.#options
    const name = this.#name
    const wanted = this.#reference.digest ?? this.#reference.tag!
    const { bytes, ...told } = await this.#client.read(`manifests/${wanted}`)
    const own = (): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    const digest = parseDigest(this.#reference.digest ?? (told.digest || own()), name)
    await checkDigest(bytes, digest, name)
    const mediaType = JsonValue.parse(bytes, name).at('mediaType').text || told.mediaType
    const came = new Map([[`${name}/manifests/${digestText(digest)}`, bytes]])
    const files: ImageFiles = {
      name,
      open: async (path) => {
        if (!came.has(path)) came.set(path, (await this.#client.read(path.slice(name.length + 1))).bytes)
        return memoryFile(path, came.get(path)!)
      },
      close: async () => {},
    }
    const top = { mediaType, digest, size: bytes.length, names: [], platform: '', variant: '' }
    const manifest = await findBelow(files, top, { architecture })
    const [config, ...layers] = blobsOf(manifest.json, name)
    for (const one of [manifest, config!]) {
      const path = blobPath(folder, one)
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await writeWhole(path, [...came].find(([key]) => key.endsWith(one.digest.hex))![1])
    }
    return { manifest, layers }
  }

  /** Has a layer in the folder. */
  async #layer(layer: Descriptor): Promise<void> {
    const path = blobPath(this.#options.folder, layer)
    const part = `${path}.part`
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const fetch = async (): Promise<void> => {
      if (await isThere(path, layer.size, true)) return this.#came(layer.size)
      const handle = await open(part, 'a', 0o600)
      const { size: before } = await handle.stat()
      try {
        await this.#client.blob(layer, handle, (bytes) => this.#came(bytes))
      } finally {
        await handle.close()
      }
      const file = { ...(await openLocalFile(part))!, name: `${this.#name}: ${digestText(layer.digest)}` }
      try {
        await closing(file, () => checkFile(file, layer.digest))
      } catch (error) {
        await rm(part, { force: true })
        // An earlier process may have left a damaged part.
        if (before > 0 && error instanceof OciError) return fetch()
        throw error
      }
      await rename(part, path)
    }
    await withFileLock(`${path}.lock`, fetch, { signal: this.#signal })
  }

  #came(bytes: number): void {
    this.#done += bytes
    this.#options.onProgress?.(Math.min(1, Math.max(0, this.#done / this.#total)), this.#name)
  }
}
