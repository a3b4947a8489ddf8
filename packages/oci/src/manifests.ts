/**
 * Finds the manifest of one image, in a layout, in a folder of skopeo's `dir:`, or in an archive of `docker save`.
 *
 * Sources: OCI Image Format Specification 1.1, image-layout.md, image-index.md, manifest.md, descriptor.md and media-types.md;
 * Docker, "Image Manifest Version 2, Schema 2"; moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format";
 * containers-transports(5), "dir:path".
 */
import { checkDigest, type Digest, digestText, parseDigest } from './digest.ts'
import { OciError, type OciErrorCode, shown } from './errors.ts'
import type { ImageFile, ImageFiles } from './image-file.ts'
import { JsonValue, readSmall } from './json.ts'
import { compressionOf, type ImageLayer, type LayerCompression } from './layer-store.ts'

/** Selects one of several images. */
export interface ImageChoice {
  /** GOARCH's name of the processor: `amd64`, `arm64`. */
  readonly architecture: string
  /** Tag or name of the image, if there are several. */
  readonly name?: string | undefined
}

/** Files of an image. */
export interface ImageParts {
  /** Name of the config's file, and its bytes. */
  readonly configName: string
  readonly config: Uint8Array
  /** Layers, lowest first, without the digests that the config has. */
  readonly layers: readonly Omit<ImageLayer, 'diffId'>[]
}

export const INDEXES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
export const MANIFESTS: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
])
const LAYERS: Readonly<Record<string, LayerCompression>> = {
  'application/vnd.oci.image.layer.v1.tar': 'none',
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.oci.image.layer.nondistributable.v1.tar': 'none',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': 'none',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip': 'gzip',
}

/** Annotations with an image's name: the specification's, and containerd's. */
const NAMES: readonly string[] = ['org.opencontainers.image.ref.name', 'io.containerd.image.name']
/** Variants of a processor that machines here have, by architecture, the best first; an empty one is not said. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = { amd64: ['', 'v1', 'v2', 'v3'], arm64: ['', 'v8'] }
const MOST_DEPTH = 8
const MOST_DESCRIPTORS = 1000

/** A reference to a file of a layout. Source: descriptor.md. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly names: readonly string[]
  /** `os/architecture`; empty: not said. */
  readonly platform: string
  /** Of the processor, such as `v8`; empty: not said. */
  readonly variant: string
}

/** An image for the wanted platform, with its manifest. */
type Found = Descriptor & { readonly json: JsonValue; readonly file: string }

/** The blobs that a manifest names: the config, and layers. */
export const blobsOf = (manifest: JsonValue, file: string): readonly Descriptor[] =>
  [manifest.at('config'), ...manifest.at('layers').list].map((json) => descriptorOf(json, file))

function descriptorOf(json: JsonValue, file: string): Descriptor {
  const [os, architecture] = ['os', 'architecture'].map((key) => json.at('platform').at(key).text)
  return {
    mediaType: json.at('mediaType').text,
    digest: parseDigest(json.at('digest').text, file),
    size: json.at('size').size,
    names: NAMES.map((key) => json.at('annotations').at(key).text).filter((name) => name !== ''),
    platform: os === '' && architecture === '' ? '' : `${os}/${architecture}`,
    variant: json.at('platform').at('variant').text,
  }
}

/** Returns the name of a file by its digest; `of` is its kind. */
type Naming = (digest: Digest, of: 'blob' | 'manifest') => string

/** Where a layout has a file. Source: image-layout.md, "Blobs". */
const inLayout: Naming = ({ algorithm, hex }) => `blobs/${algorithm}/${hex}`

/** File names in skopeo's `dir:` format. */
const inFolder: Naming = ({ hex }, of) => (of === 'blob' ? hex : `${hex}.manifest.json`)

/** Files that are named by their digests: an image layout, or a folder of skopeo's `dir:`. */
class Layout {
  readonly #files: ImageFiles
  readonly #nameOf: Naming
  readonly #wanted: ImageChoice
  /** Platforms of the other images, for the message. */
  readonly #others = new Set<string>()
  #descriptors = 0

  constructor(files: ImageFiles, wanted: ImageChoice, nameOf: Naming) {
    this.#files = files
    this.#nameOf = nameOf
    this.#wanted = wanted
  }

  /** @throws OciError `ERR_CHOICE`, `ERR_PLATFORM` and errors of damaged files */
  async find(): Promise<ImageParts> {
    const version = (await jsonIn(this.#files, 'oci-layout')).at('imageLayoutVersion').text
    if (!version.startsWith('1.'))
      throw this.#error('ERR_UNSUPPORTED', `an image layout of version '${version}'; 1.0.0 is expected`)
    const index = await jsonIn(this.#files, 'index.json')
    return this.#parts(await this.#chosen(this.#descriptorsOf(index, 'index.json')))
  }

  /** An image whose manifest, or whose index, is in a file. @throws OciError as {@link find} */
  async findIn(file: string): Promise<ImageParts> {
    const json = await jsonIn(this.#files, file)
    const isOne = json.at('manifests').isAbsent
    return this.#parts(isOne ? { json, file } : await this.#chosen(this.#descriptorsOf(json, file)))
  }

  /** An image that is, or is in, a descriptor's. @throws OciError as {@link find} */
  async findBelow(top: Descriptor): Promise<Found> {
    const found = await this.#chosen([top])
    // The config, and the media types of layers, are checked.
    await this.#parts(found)
    return found
  }

  async #chosen(all: readonly Descriptor[]): Promise<Found> {
    const found = await this.#images(
      chosen(all, ({ names }) => names, this.#wanted.name, this.#files.name),
      0,
    )
    const [first] = found
    if (first === undefined) {
      const others = [...this.#others].join(', ')
      const reason =
        others === '' ? 'it has no image' : `it has no image for linux/${this.#wanted.architecture}, only for ${others}`
      throw this.#error(others === '' ? 'ERR_MISSING' : 'ERR_PLATFORM', reason)
    }
    const names = [...new Set(found.flatMap((image) => image.names))]
    if (found.length > 1 && new Set(found.map(({ digest }) => digest.hex)).size > 1)
      throw severalImages(this.#files.name, names)
    return first
  }

  /** The manifests for the wanted platform below some descriptors. */
  async #images(all: readonly Descriptor[], depth: number): Promise<Found[]> {
    const { architecture } = this.#wanted
    const variants = VARIANTS[architecture] ?? ['']
    if (depth > MOST_DEPTH) throw this.#error('ERR_LIMIT', `more than ${MOST_DEPTH} indexes in one another`)
    const found: Found[] = []
    const rank = ({ variant }: Descriptor): number => variants.indexOf(variant)
    for (const descriptor of all.toSorted((a, b) => rank(a) - rank(b))) {
      const { mediaType, platform, variant, names } = descriptor
      // Notes of how the image was built stand among the images, for a platform that nothing is.
      if (platform === 'unknown/unknown') continue
      if (platform !== '' && (platform !== `linux/${architecture}` || rank(descriptor) < 0)) {
        this.#others.add(shown(`${platform}${variant && `/${variant}`}`))
        continue
      }
      if (!INDEXES.has(mediaType) && !MANIFESTS.has(mediaType))
        throw this.#error('ERR_UNSUPPORTED', `the media type '${shown(mediaType)}' is not known`)
      const file = this.#nameOf(descriptor.digest, 'manifest')
      const json = JsonValue.parse(await this.#checked(descriptor, file), file)
      if (INDEXES.has(mediaType)) {
        const below = this.#descriptorsOf(json, file)
        for (const image of await this.#images(below, depth + 1))
          found.push({ ...image, names: [...names, ...image.names] })
      } else {
        // An index of one image need not say for which platform it is.
        const actual = platform === '' ? await this.#platformOf(json, file) : platform
        if (actual === `linux/${architecture}`) found.push({ ...descriptor, json, file })
        else this.#others.add(shown(actual))
      }
      // An index below is one image, of which the best variant is taken.
      if (depth > 0 && found.length > 0) break
    }
    return found
  }

  async #platformOf(manifest: JsonValue, file: string): Promise<string> {
    const descriptor = descriptorOf(manifest.at('config'), file)
    const name = this.#nameOf(descriptor.digest, 'blob')
    const json = JsonValue.parse(await this.#checked(descriptor, name), name)
    return `${json.at('os').text}/${json.at('architecture').text}`
  }

  #descriptorsOf(index: JsonValue, file: string): readonly Descriptor[] {
    const all = index.at('manifests').list
    this.#descriptors += all.length
    if (this.#descriptors > MOST_DESCRIPTORS) throw this.#error('ERR_LIMIT', `more than ${MOST_DESCRIPTORS} manifests`)
    // An artefact, such as a list of what is in an image, has the image's platform.
    return all.filter((json) => json.at('artifactType').isAbsent).map((json) => descriptorOf(json, file))
  }

  async #parts({ json, file }: Pick<Found, 'json' | 'file'>): Promise<ImageParts> {
    const [config, ...layers] = blobsOf(json, file) as [Descriptor, ...Descriptor[]]
    const configName = this.#nameOf(config.digest, 'blob')
    return {
      configName,
      config: await this.#checked(config, configName),
      layers: layers.map((layer) => this.#layer(layer)),
    }
  }

  #layer({ mediaType, digest, size }: Descriptor): Omit<ImageLayer, 'diffId'> {
    const compression = Object.hasOwn(LAYERS, mediaType) ? LAYERS[mediaType] : undefined
    if (compression === undefined)
      throw this.#error('ERR_UNSUPPORTED', `a layer of the media type '${shown(mediaType)}', which is not known`)
    const name = this.#nameOf(digest, 'blob')
    return { name, digest, open: () => this.#open(name, size), compression: async () => compression }
  }

  async #checked({ digest, size }: Descriptor, name: string): Promise<Uint8Array> {
    const bytes = await closing(await this.#open(name, size), readSmall)
    await checkDigest(bytes, digest, name)
    return bytes
  }

  #error(code: OciErrorCode, reason: string): OciError {
    return new OciError(code, this.#files.name, reason)
  }

  async #open(name: string, size: number): Promise<ImageFile> {
    const file = await openFile(this.#files, name)
    if (file.size === size) return file
    await file.close()
    throw new OciError('ERR_DIGEST', file.name, `it has ${file.size} bytes, and ${size} are expected`)
  }
}

/** Finds an image's manifest. @throws OciError */
export async function findImage(files: ImageFiles, wanted: ImageChoice): Promise<ImageParts> {
  // Docker 25 and later write both, of which the layout says more.
  if (await has(files, 'oci-layout')) return new Layout(files, wanted, inLayout).find()
  if (await has(files, 'version')) return new Layout(files, wanted, inFolder).findIn('manifest.json')
  if (await has(files, 'manifest.json')) return findSaved(files, wanted)
  throw new OciError(
    'ERR_FORMAT',
    files.name,
    "it is no image: an OCI layout has a file 'oci-layout', an archive of docker save and a folder of skopeo's dir: one 'manifest.json'",
  )
}

/** Finds an image of a registry by its manifest, or by an index. The files have paths of the registry's API. @throws OciError */
export const findBelow = (files: ImageFiles, top: Descriptor, wanted: ImageChoice): Promise<Found> =>
  new Layout(files, wanted, (digest, of) => `${files.name}/${of}s/${digestText(digest)}`).findBelow(top)

/** Lists the names of the images in a layout, or in an archive of `docker save`; other images have none. @throws OciError */
export async function namesIn(files: ImageFiles): Promise<readonly string[]> {
  if (await has(files, 'oci-layout')) {
    const { list: all } = (await jsonIn(files, 'index.json')).at('manifests')
    return all.flatMap((json) => NAMES.map((key) => json.at('annotations').at(key).text)).filter((name) => name !== '')
  }
  if (await has(files, 'version')) return []
  return (await jsonIn(files, 'manifest.json')).list.flatMap((image) => image.at('RepoTags').texts)
}

/** Finds an image in an archive of `docker save`: a list of images with configs, tags and files of layers. */
async function findSaved(files: ImageFiles, { name }: ImageChoice): Promise<ImageParts> {
  const all = (await jsonIn(files, 'manifest.json')).list.map((image) => ({ image, tags: image.at('RepoTags').texts }))
  const images = chosen(all, ({ tags }) => tags, name, files.name)
  const [first] = images
  if (first === undefined) throw new OciError('ERR_MISSING', files.name, 'it has no image')
  const names = images.flatMap(({ tags }) => tags)
  if (images.length > 1) throw severalImages(files.name, names)
  const configName = first.image.at('Config').text
  const config = await closing(await openFile(files, configName), readSmall)
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(configName)?.[1]
  if (hex !== undefined) await checkDigest(config, { algorithm: 'sha256', hex }, configName)
  const layers = first.image.at('Layers').texts.map((layer) => ({
    name: layer,
    open: () => openFile(files, layer),
    compression: compressionOf,
  }))
  return { configName, config, layers }
}

/** Returns the images with a name; all if no name is given. */
function chosen<T>(
  all: readonly T[],
  namesOf: (one: T) => readonly string[],
  name: string | undefined,
  file: string,
): readonly T[] {
  if (name === undefined) return all
  // Docker's word for a name without a tag.
  const wanted = [name, `${name}:latest`]
  const found = all.filter((one) =>
    namesOf(one).some((each) => wanted.some((it) => each === it || each.endsWith(`/${it}`))),
  )
  if (found.length > 0 || all.length === 0) return found
  const names = all.flatMap(namesOf)
  throw new OciError('ERR_CHOICE', file, `it has no image '${shown(name)}'${list(names, '; it has ')}`)
}

const severalImages = (file: string, names: readonly string[]): OciError =>
  new OciError('ERR_CHOICE', file, `it has several images; name the wanted one${list(names, ': ')}`)

const MOST_LISTED = 10
const list = (names: readonly string[], before: string): string =>
  names.length === 0 ? '' : `${before}${names.slice(0, MOST_LISTED).map(shown).join(', ')}`

async function has(files: ImageFiles, name: string): Promise<boolean> {
  const file = await files.open(name)
  await file?.close()
  return file !== undefined
}

async function openFile(files: ImageFiles, name: string): Promise<ImageFile> {
  // Names of archives of docker save are the archive's own words.
  const isInside = name !== '' && !name.split('/').some((part) => part === '' || part === '.' || part === '..')
  if (!isInside) throw new OciError('ERR_NAME', files.name, `'${shown(name)}' is no name of a file in it`)
  const file = await files.open(name)
  if (file === undefined)
    throw new OciError('ERR_MISSING', files.name, `'${shown(name)}' is not in it, which the image needs`)
  return file
}

const jsonIn = async (files: ImageFiles, name: string): Promise<JsonValue> =>
  JsonValue.parse(await closing(await openFile(files, name), readSmall), name)

export async function closing<T>(file: ImageFile, read: (file: ImageFile) => Promise<T>): Promise<T> {
  try {
    return await read(file)
  } finally {
    await file.close()
  }
}
