import { BlockError, type BlockProperties, type BlockRequest } from '@retrap/device'
import { ImageError, type BlockImage } from './image.ts'
import type { Qcow2Options } from './qcow2/qcow2-image.ts'
import { Requests, WHOLE } from './requests.ts'
import type { BlockStorage } from './storage.ts'

/** Options of {@link RawImage}. */
export interface RawImageOptions extends Pick<Qcow2Options, 'readOnly' | 'serialNumber' | 'geometry'> {
  /** Smallest unit of a transfer: 512 (default) or 4096. */
  readonly blockBytes?: 512 | 4096
  /** Unit without read-modify-write below it; default `blockBytes`. */
  readonly physicalBlockBytes?: number
}

const MAXIMUM_BYTES = 1 << 20
/** Zeros are written in pieces of this size. */
const ZEROES = new Uint8Array(64 << 10)

/**
 * An image whose bytes are the disk's: block n lies at n times its size. The rest of a last block behind the storage's end reads
 * as zeros; a write of that block makes the storage longer.
 */
export class RawImage implements BlockImage {
  /** The properties, which never change. */
  readonly properties: BlockProperties
  readonly #storage: BlockStorage
  readonly #requests = new Requests()

  /** @throws ImageError `ERR_OPTION` */
  constructor(storage: BlockStorage, options: RawImageOptions = {}) {
    const { blockBytes = 512, serialNumber, geometry } = options
    const physicalBlockBytes = options.physicalBlockBytes ?? blockBytes
    if (blockBytes !== 512 && blockBytes !== 4096) {
      throw new ImageError('ERR_OPTION', `blockBytes ${String(blockBytes)}: expected 512 or 4096`)
    }
    if (!Number.isInteger(physicalBlockBytes / blockBytes) || physicalBlockBytes < blockBytes) {
      throw new ImageError(
        'ERR_OPTION',
        `physicalBlockBytes ${physicalBlockBytes}: expected a multiple of ${blockBytes}`,
      )
    }
    this.#storage = storage
    this.properties = {
      bytes: Math.ceil(storage.bytes / blockBytes) * blockBytes,
      blockBytes,
      physicalBlockBytes,
      maximumBytes: MAXIMUM_BYTES,
      readOnly: storage.readOnly || options.readOnly === true,
      discards: false,
      ...(geometry !== undefined && { geometry }),
      ...(serialNumber !== undefined && { serialNumber }),
    }
  }

  /** Fills `into`. */
  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes: into.length }, request, async () => {
      const held = this.#held(offset, into)
      if (held.length > 0) await this.#storage.read(offset, held)
    })
  }

  /** Zeroes the part after the storage's end. @returns the part before the end */
  #held(offset: number, into: Uint8Array): Uint8Array {
    const bytes = Math.max(0, Math.min(into.length, this.#storage.bytes - offset))
    if (bytes === into.length) return into
    into.fill(0, bytes)
    return into.subarray(0, bytes)
  }

  /** See `BlockBackend.readInPlace`. */
  readInPlace(offset: number, into: Uint8Array): boolean {
    this.#requests.check(this.properties, offset, into.length)
    return this.#storage.readInPlace?.(offset, this.#held(offset, into)) ?? false
  }

  /** See `BlockBackend.writeInPlace`. */
  writeInPlace(offset: number, from: Uint8Array): boolean {
    this.#requests.check(this.properties, offset, from.length)
    this.#checkWritable()
    return this.#storage.writeInPlace?.(offset, from) ?? false
  }

  #checkWritable(): void {
    if (this.properties.readOnly) throw new BlockError('ERR_READ_ONLY', 'the image cannot be written')
  }

  /** Writes `from`. */
  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#change({ offset, bytes: from.length }, request, () => this.#storage.write(offset, from))
  }

  /** Makes all completed writes durable. */
  flush(request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, WHOLE, request, () => this.#storage.flush())
  }

  /** Keeps the content: a raw file has no way to say that it is not needed. */
  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#change({ offset, bytes }, request, async () => {})
  }

  /** Makes a range read as zeros. Blocks that read as zeros already are not written: the holes of a sparse file stay. */
  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#change({ offset, bytes }, request, async () => {
      const found = new Uint8Array(Math.min(ZEROES.length, bytes))
      for (let at = 0; at < bytes; at += ZEROES.length) {
        const length = Math.min(ZEROES.length, bytes - at)
        if (await this.#isZero(offset + at, found.subarray(0, length))) continue
        await this.#storage.write(offset + at, ZEROES.subarray(0, length))
      }
    })
  }

  /** @param into - buffer for the read; its length is a multiple of 512 */
  async #isZero(offset: number, into: Uint8Array): Promise<boolean> {
    // A write beyond the end has to make the storage longer first.
    if (offset + into.length > this.#storage.bytes) return false
    try {
      await this.#storage.read(offset, into)
    } catch {
      // The write reports the error.
      return false
    }
    return new Uint32Array(into.buffer, into.byteOffset, into.length / 4).every((word) => word === 0)
  }

  /** A request that changes the image. */
  #change(
    range: { readonly offset: number; readonly bytes: number },
    request: BlockRequest | undefined,
    body: () => Promise<void>,
  ): Promise<void> {
    return this.#requests.run(this.properties, range, request, async () => {
      this.#checkWritable()
      await body()
      if (request?.durable === true) await this.#storage.flush()
    })
  }

  /** Never calls back: a raw image keeps its size. */
  onChange(): () => void {
    return () => {}
  }

  /** See `BlockImage.idle`. */
  idle(): Promise<void> {
    return this.#requests.idle()
  }

  /** See `BlockImage.release`. */
  async release(): Promise<void> {
    await this.#requests.idle()
    if (!this.properties.readOnly) await this.#storage.flush()
    await this.#storage.release?.()
  }

  /** See `BlockImage.claim`. */
  async claim(): Promise<void> {
    await this.#storage.claim?.()
  }

  /** See `BlockImage.close`. */
  close(): Promise<void> {
    return this.#requests.close(async () => {
      try {
        if (!this.properties.readOnly) await this.#storage.flush()
      } finally {
        await this.#storage.close()
      }
    })
  }
}
