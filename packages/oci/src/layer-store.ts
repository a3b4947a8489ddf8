import { decompress } from '@retrap/basics'
import { checkDigest, type Digest } from './digest.ts'
import { OciError } from './errors.ts'
import { type ImageFile, memoryFile, readExactly } from './image-file.ts'
import type { ImageLimits } from './limits.ts'
import { readTar, type TarEntry } from './tar.ts'

/** Compression of a layer. */
export type LayerCompression = 'none' | 'gzip' | 'zstd'

/** A layer of an image. */
export interface ImageLayer {
  /** Name of the layer's file, for messages. */
  readonly name: string
  /** Digest of its tar archive without compression. */
  readonly diffId: Digest
  /** Digest of its file; absent in archives of `docker save`. */
  readonly digest?: Digest
  /** Opens its file, which the caller closes. @throws OciError `ERR_MISSING` */
  open(): Promise<ImageFile>
  /** Returns the compression of a layer's file. */
  compression(file: ImageFile): Promise<LayerCompression>
}

/** An uncompressed layer, with its entries. */
export interface OpenLayer {
  /** The tar archive of the layer. */
  readonly tar: ImageFile
  /** All entries of the archive, in order. */
  readonly entries: readonly TarEntry[]
}

/** Opens layers: checks their digests, and unpacks compressed ones. */
export interface LayerStore {
  /** Opens a layer. @throws OciError `ERR_DIGEST`, `ERR_LIMIT`, errors of `ImageLayer`, and of a tar archive */
  open(layer: ImageLayer, limits: ImageLimits): Promise<OpenLayer>
}

const MAGIC: readonly (readonly [LayerCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/** Tells a file's compression by its first bytes. */
export async function compressionOf(file: ImageFile): Promise<LayerCompression> {
  const head = new Uint8Array(Math.min(4, file.size))
  await readExactly(file, 0, head)
  return MAGIC.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? 'none'
}

/**
 * Layers for a page. One without compression is read in place, by parts, and is not checked: for its digest all of it would
 * have to be read. One of gzip is unpacked into memory and checked.
 */
export const PAGE_LAYERS: LayerStore = {
  async open(layer, limits) {
    const file = await layer.open()
    const compression = await layer.compression(file)
    if (compression === 'none') return { tar: file, entries: await readTar(file, limits) }
    if (compression !== 'gzip')
      throw new OciError('ERR_UNSUPPORTED', layer.name, `compressed with ${compression}, which is not read here`)
    try {
      const packed = new Uint8Array(file.size)
      await readExactly(file, 0, packed)
      const most = mostUnpacked(file.size, limits)
      const bytes = await decompress('gzip', packed, most + 1)
      if (bytes === undefined) throw new OciError('ERR_UNSUPPORTED', layer.name, 'this host cannot decompress')
      if (bytes.length > most) throw tooLarge(layer.name, most)
      await checkDigest(bytes, layer.diffId, layer.name)
      const tar = memoryFile(layer.name, bytes)
      return { tar, entries: await readTar(tar, limits) }
    } finally {
      await file.close()
    }
  },
}

const FREE_RATIO_BYTES = 256 << 20

/** Bytes that a compressed layer may have without its compression. */
export const mostUnpacked = (packed: number, { layerBytes, ratio }: ImageLimits): number =>
  Math.min(layerBytes, Math.max(FREE_RATIO_BYTES, packed * ratio))

/** A layer with which an image unpacks to more than it may. */
export const tooLarge = (name: string, most: number): OciError =>
  new OciError('ERR_LIMIT', name, `it unpacks to more than ${most} bytes, which its size and the limits allow`)
