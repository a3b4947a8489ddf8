import type { Share } from '@retrap/virtio/p9'
import { OciError, shown } from './errors.ts'
import type { ImageFile, ImageFiles } from './image-file.ts'
import { imageShare } from './image-share.ts'
import { type LayerStore, PAGE_LAYERS, tooLarge } from './layer-store.ts'
import { DEFAULT_LIMITS, type ImageLimits } from './limits.ts'
import { findImage, type ImageChoice } from './manifests.ts'
import { ImageTree } from './tree.ts'
import { type Digest, parseDigest } from './digest.ts'
import { JsonValue } from './json.ts'

/** Options of {@link openImage}. */
export interface OpenImageOptions extends ImageChoice {
  /** Opens the layers; the default is for pages: `PAGE_LAYERS`. */
  readonly layers?: LayerStore
  /** Limits; absent ones default to {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ImageLimits>
}

/** A container image: its files, and how to run its program. */
export interface OciImage {
  /** All layers as one read-only file system. */
  readonly share: Share
  /** How to run the image's program. */
  readonly config: ImageConfig
  /** Each layer, lowest first. */
  readonly layers: readonly {
    /** Digest of the uncompressed layer, such as `sha256:…`. */
    readonly diffId: string
    /** Bytes without compression. */
    readonly bytes: number
    /** Number of entries in the layer's archive. */
    readonly entries: number
  }[]
  /** Files, directories and links that its layers have made. */
  readonly files: number
  /** Closes all files of the image. */
  close(): Promise<void>
}

/**
 * Opens an image: an OCI layout, an archive of `docker save`, or a folder of skopeo's `dir:`.
 *
 * @param files - files of the image, closed with it, and also after an error
 * @throws OciError
 */
export async function openImage(files: ImageFiles, options: OpenImageOptions): Promise<OciImage> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const store = options.layers ?? PAGE_LAYERS
  const tars: ImageFile[] = []
  const close = async (): Promise<void> => {
    await Promise.all(tars.map((tar) => tar.close()))
    await files.close()
  }
  try {
    const parts = await findImage(files, options)
    const { config, diffIds } = parseConfig(parts.config, parts.configName)
    const [wanted, platform] = [`linux/${options.architecture}`, `${config.os}/${config.architecture}`]
    if (platform !== wanted)
      throw new OciError('ERR_PLATFORM', files.name, `the image is for ${shown(platform)}, not for ${wanted}`)
    const { length: count } = parts.layers
    if (count > limits.layers)
      throw new OciError('ERR_LIMIT', files.name, `${count} layers; at most ${limits.layers} are read`)
    if (diffIds.length !== count)
      throw new OciError('ERR_DAMAGED', parts.configName, `it has ${diffIds.length} layers, and the manifest ${count}`)
    const tree = new ImageTree(limits)
    let layerBytes = 0
    const layers: OciImage['layers'][number][] = []
    for (const [i, layer] of parts.layers.entries()) {
      const diffId = diffIds[i]!
      const { tar, entries } = await store.open(
        { ...layer, diffId },
        { ...tree.left, layerBytes: limits.layerBytes - layerBytes },
      )
      tars.push(tar)
      layerBytes += tar.size
      if (layerBytes > limits.layerBytes) throw tooLarge(layer.name, limits.layerBytes)
      tree.apply(entries, i)
      layers.push({ diffId: `${diffId.algorithm}:${diffId.hex}`, bytes: tar.size, entries: entries.length })
    }
    return { share: imageShare(tree, tars), config, layers, files: tree.count, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** How an image wants its program to be run. Source: OCI Image Format Specification, config.md; docker, "docker inspect". */
interface ImageConfig {
  /** GOARCH's name of the processor, such as `amd64` or `arm64`. */
  readonly architecture: string
  /** `linux`. */
  readonly os: string
  /** Variables, as `NAME=VALUE`. */
  readonly env: readonly string[]
  /** Name or number, and group behind a colon; empty: root. */
  readonly user: string
  /** An absolute path; empty: the root. */
  readonly workingDirectory: string
  /** The program and its first arguments. */
  readonly entrypoint: readonly string[]
  /** Default further arguments; or the program, without an entry point. */
  readonly command: readonly string[]
  /** The test of health; absent: it has none. */
  readonly healthcheck?: ImageHealthcheck | undefined
}

/** A test of health. Times are in nanoseconds, and 0 is docker's default. Source: docker, "HEALTHCHECK" of the Dockerfile reference. */
interface ImageHealthcheck extends Readonly<
  Record<'interval' | 'timeout' | 'retries' | 'startPeriod' | 'startInterval', number>
> {
  /** Begins with `CMD` or `CMD-SHELL`, or is `NONE`. */
  readonly test: readonly string[]
}

/** A config, and the digests of the layers without compression. */
interface ConfigFile {
  readonly config: ImageConfig
  readonly diffIds: readonly Digest[]
}

function healthcheckOf(json: JsonValue): ImageHealthcheck | undefined {
  if (json.isAbsent) return undefined
  const number = (key: string): number => (json.at(key).isAbsent ? 0 : json.at(key).size)
  return {
    test: json.at('Test').texts,
    interval: number('Interval'),
    timeout: number('Timeout'),
    retries: number('Retries'),
    startPeriod: number('StartPeriod'),
    startInterval: number('StartInterval'),
  }
}

/** Reads a config. @throws OciError `ERR_DAMAGED`, `ERR_UNSUPPORTED` */
function parseConfig(bytes: Uint8Array, file: string): ConfigFile {
  const json = JsonValue.parse(bytes, file)
  const given = json.at('config')
  const rootfs = json.at('rootfs')
  if (rootfs.at('type').text !== 'layers')
    throw new OciError('ERR_UNSUPPORTED', file, 'it is no config of an image: it has no layers of files')
  return {
    config: {
      architecture: json.at('architecture').text,
      os: json.at('os').text,
      env: given.at('Env').texts.filter((line) => line.indexOf('=') > 0),
      user: given.at('User').text,
      workingDirectory: given.at('WorkingDir').text,
      entrypoint: given.at('Entrypoint').texts,
      command: given.at('Cmd').texts,
      healthcheck: healthcheckOf(given.at('Healthcheck')),
    },
    diffIds: rootfs.at('diff_ids').texts.map((text) => parseDigest(text, file)),
  }
}
