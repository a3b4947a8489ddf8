import { BlockError, type BlockProperties, type BlockRequest, type DiskGeometry } from '@retrap/device'
import { ImageError, type BlockImage } from '../image.ts'
import { Requests, WHOLE } from '../requests.ts'
import type { BlockStorage } from '../storage.ts'
import { type Codec, decompressorOf, STREAMS_CODEC } from './codec.ts'
import { DiskWriter } from './disk-writer.ts'
import { DiskReader } from './disk-reader.ts'
import { type BackingName, readHeader } from './header.ts'
import type { Metadata } from './metadata.ts'
import { DEFAULT_CACHE_BYTES, openMetadata } from './open-metadata.ts'
import { findSnapshot, readSnapshots } from './snapshots.ts'

/** Options for opening a {@link Qcow2Image}. */
export interface Qcow2Options {
  /** Refuses writes even if the storage allows them. */
  readonly readOnly?: boolean
  /** Opens the backing file that the image names. Without this function, such an image is refused. */
  readonly openBacking?: (backing: BackingName) => Promise<BlockImage>
  /** Shows an internal snapshot with this name or id, read-only, in place of the present content. */
  readonly snapshot?: string
  /** Memory for tables; default 8 MiB. Four tables always fit. */
  readonly cacheBytes?: number
  /** Compression methods; default: the methods of Compression Streams. */
  readonly codec?: Codec
  /** Unit without read-modify-write below it, for guests that ask; default 512. */
  readonly physicalBlockBytes?: number
  /** Names the disk to the guest. */
  readonly serialNumber?: string
  /** Cylinders, heads and sectors for guests that ask for them. */
  readonly geometry?: DiskGeometry
}

/** A range of a disk whose bytes are kept alike. */
export interface ImageExtent {
  /** Offset of the extent on the disk. */
  readonly offset: number
  /** Length of the extent, in bytes. */
  readonly bytes: number
  /** `unallocated`: reads return the backing file's data, or zeros without a backing file. */
  readonly kind: 'data' | 'zero' | 'unallocated' | 'compressed'
  /** Offset of `data` extents in the file. */
  readonly fileOffset?: number
}

const BLOCK_BYTES = 512
const MAXIMUM_BYTES = 1 << 20

/**
 * A qcow2 image, version 2 or 3. Requests may overlap. A kill at any moment leaves an image that is consistent and holds all
 * data of the last flush; it may hold unused clusters.
 *
 * Source: QEMU, docs/interop/qcow2.txt.
 */
export class Qcow2Image implements BlockImage {
  /** The properties, which never change. */
  readonly properties: BlockProperties
  /** The backing file, as named in the header. */
  readonly backingName: BackingName | null
  /** Unit of allocation. */
  readonly clusterBytes: number
  readonly #storage: BlockStorage
  readonly #backing: BlockImage | null
  readonly #metadata: Metadata
  readonly #reader: DiskReader
  readonly #writer: DiskWriter
  readonly #requests = new Requests()

  private constructor(
    storage: BlockStorage,
    metadata: Metadata,
    backing: BlockImage | null,
    options: Qcow2Options & { readonly bytes: number },
  ) {
    const { serialNumber, geometry, physicalBlockBytes = BLOCK_BYTES } = options
    this.#storage = storage
    this.#metadata = metadata
    this.#backing = backing
    this.backingName = metadata.header.backing
    this.clusterBytes = metadata.header.clusterBytes
    this.#reader = new DiskReader(storage, metadata, backing, options.codec ?? STREAMS_CODEC)
    const readOnly = storage.readOnly || options.readOnly === true || options.snapshot !== undefined
    this.properties = {
      bytes: Math.ceil(options.bytes / BLOCK_BYTES) * BLOCK_BYTES,
      blockBytes: BLOCK_BYTES,
      physicalBlockBytes,
      maximumBytes: MAXIMUM_BYTES,
      readOnly,
      discards: !readOnly,
      ...(geometry !== undefined && { geometry }),
      ...(serialNumber !== undefined && { serialNumber }),
    }
    this.#writer = new DiskWriter(storage, metadata, this.#reader, {
      bytes: this.properties.bytes,
      hasBacking: backing !== null,
      codec: options.codec ?? STREAMS_CODEC,
    })
  }

  /**
   * Opens an image. Reference counts are repaired first, if a program that defers them was killed.
   *
   * @throws ImageError `ERR_FORMAT`, `ERR_UNSUPPORTED`, `ERR_BACKING`, `ERR_OPTION`; BlockError
   */
  static async open(storage: BlockStorage, options: Qcow2Options = {}): Promise<Qcow2Image> {
    const { cacheBytes = DEFAULT_CACHE_BYTES, physicalBlockBytes = BLOCK_BYTES } = options
    if (!Number.isInteger(physicalBlockBytes / BLOCK_BYTES) || physicalBlockBytes < BLOCK_BYTES) {
      throw new ImageError('ERR_OPTION', `physicalBlockBytes ${physicalBlockBytes}: expected a multiple of 512`)
    }
    const header = await readHeader(storage)
    // The header names the method, so a missing codec is reported at once.
    if (header.compression === 'zstd') decompressorOf(options.codec ?? STREAMS_CODEC, 'zstd')
    const snapshot =
      options.snapshot === undefined ? null : findSnapshot(await readSnapshots(storage, header), options.snapshot)
    const isRead = storage.readOnly || options.readOnly === true
    const source = isRead && !storage.readOnly ? readOnlyView(storage) : storage
    const metadata = await openMetadata(source, header, { cacheBytes, snapshot })
    const backing = header.backing === null ? null : await openBacking(header.backing, options)
    return new Qcow2Image(source, metadata, backing, { ...options, bytes: snapshot?.bytes ?? header.bytes })
  }

  /** The backing image, or null. */
  get backing(): BlockImage | null {
    return this.#backing
  }

  /** Fills `into`. */
  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#run(offset, into.length, request, () => this.#reader.read(offset, into))
  }

  /** Writes `from`. */
  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#change(offset, from.length, request, () => this.#writer.write(offset, from))
  }

  /**
   * Writes one cluster, or the end of the disk in its last cluster, compressed if that makes it smaller.
   *
   * @throws BlockError `ERR_RANGE` where `offset` is no multiple of a cluster
   */
  writeCompressed(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#change(offset, from.length, request, async () => {
      if (offset % this.clusterBytes !== 0 || from.length > this.clusterBytes) {
        throw new BlockError('ERR_RANGE', `${from.length} bytes at ${offset}: expected one cluster`)
      }
      await this.#writer.writeCompressed(offset, from)
    })
  }

  /** Makes all completed writes durable. */
  flush(request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, WHOLE, request, () => this.#metadata.commit())
  }

  /** Frees the clusters that lie in a range. */
  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#change(offset, bytes, request, () => this.#writer.discard(offset, bytes))
  }

  /** Makes a range read as zeros. Whole clusters take no room. */
  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#change(offset, bytes, request, () => this.#writer.writeZeroes(offset, bytes))
  }

  /** Drops all content of this file, so that the backing file shows through. */
  clear(request?: BlockRequest): Promise<void> {
    const { bytes } = this.properties
    return this.#change(0, bytes, request, () => this.#writer.clear())
  }

  /** Returns how the bytes from `offset` on are stored, and the length of that extent. */
  async extentAt(offset: number): Promise<ImageExtent> {
    let found: ImageExtent | undefined
    await this.#run(offset, 0, undefined, async () => {
      const { kind, bytes, host } = await this.#metadata.extent(offset, this.properties.bytes - offset)
      found = { offset, bytes, kind, ...(kind === 'data' && { fileOffset: host }) }
    })
    return found!
  }

  /** Never calls back: the image keeps its size. */
  onChange(): () => void {
    return () => {}
  }

  /** See `BlockImage.idle`. */
  idle(): Promise<void> {
    return this.#requests.idle()
  }

  /** See `BlockImage.release`. */
  async release(): Promise<void> {
    await this.settle()
    await this.#storage.release?.()
  }

  /** See `BlockImage.claim`. */
  async claim(): Promise<void> {
    await this.#storage.claim?.()
  }

  /** See `BlockImage.settle`. */
  async settle(): Promise<void> {
    await this.#requests.idle()
    if (this.properties.readOnly) return
    await this.#metadata.commit()
    // Released clusters are counted as free only now.
    while (this.#metadata.isDirty) {
      await this.#metadata.commit()
    }
  }

  /** See `BlockImage.close`. */
  close(): Promise<void> {
    return this.#requests.close(async () => {
      try {
        await this.settle()
      } finally {
        await Promise.all([this.#storage.close(), this.#backing?.close()])
      }
    })
  }

  /** A request that changes the image. */
  #change(offset: number, bytes: number, request: BlockRequest | undefined, body: () => Promise<void>): Promise<void> {
    return this.#run(offset, bytes, request, async () => {
      if (this.properties.readOnly) throw new BlockError('ERR_READ_ONLY', 'the image cannot be written')
      await body()
      if (request?.durable === true) await this.#metadata.commit()
    })
  }

  /** Runs a request that uses clusters of the file: they are not reused until it has ended. */
  #run(offset: number, bytes: number, request: BlockRequest | undefined, body: () => Promise<void>): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes }, request, async () => {
      const number = this.#metadata.begin()
      try {
        await body()
      } finally {
        this.#metadata.active.delete(number)
      }
    })
  }
}

async function openBacking(backing: BackingName, options: Qcow2Options): Promise<BlockImage> {
  if (options.openBacking !== undefined) return options.openBacking(backing)
  throw new ImageError('ERR_BACKING', `the image needs ${backing.name}; give openBacking`)
}

/** Wraps a storage without its writes. */
function readOnlyView(storage: BlockStorage): BlockStorage {
  const refuse = (): Promise<void> => Promise.reject(new BlockError('ERR_READ_ONLY', 'the image cannot be written'))
  return {
    get bytes() {
      return storage.bytes
    },
    readOnly: true,
    read: (offset, into) => storage.read(offset, into),
    write: refuse,
    flush: async () => {},
    close: () => storage.close(),
  }
}
