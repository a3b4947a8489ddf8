import { BlockError } from '@retrap/device'
import type { BlockImage } from '../image.ts'
import type { BlockStorage } from '../storage.ts'
import { type Codec, decompressorOf } from './codec.ts'
import { compressedPlace } from './format.ts'
import type { Extent, Metadata } from './metadata.ts'

/** Reads the disk that an image and the file below it make. */
export class DiskReader {
  readonly #storage: BlockStorage
  readonly #metadata: Metadata
  readonly #backing: BlockImage | null
  readonly #codec: Codec
  /** The cluster decompressed last, for consecutive reads of its parts. */
  #last: { readonly hi: number; readonly lo: number; readonly bytes: Uint8Array } | null = null
  /** Counts the calls of `forget`. */
  #forgotten = 0

  constructor(storage: BlockStorage, metadata: Metadata, backing: BlockImage | null, codec: Codec) {
    this.#storage = storage
    this.#metadata = metadata
    this.#backing = backing
    this.#codec = codec
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const extent = await this.#metadata.extent(offset + done, into.length - done)
      await this.#readExtent(extent, offset + done, into.subarray(done, done + extent.bytes))
      done += extent.bytes
    }
  }

  async #readExtent(extent: Extent, offset: number, into: Uint8Array): Promise<void> {
    if (extent.kind === 'zero') into.fill(0)
    else if (extent.kind === 'unallocated') await this.#readBelow(offset, into)
    else if (extent.kind === 'data') await this.#readFile(extent.host, into)
    else {
      const cluster = await this.#decompress(extent.hi, extent.lo)
      const within = offset % this.#metadata.header.clusterBytes
      into.set(cluster.subarray(within, within + into.length))
    }
  }

  /** Reads the file. Clusters behind its end have not been written: they are zeros. */
  async #readFile(host: number, into: Uint8Array): Promise<void> {
    const held = Math.max(0, Math.min(into.length, this.#storage.bytes - host))
    into.fill(0, held)
    if (held > 0) await this.#storage.read(host, into.subarray(0, held))
  }

  async #readBelow(offset: number, into: Uint8Array): Promise<void> {
    if (this.#backing === null) {
      into.fill(0)
      return
    }
    const { bytes, maximumBytes } = this.#backing.properties
    const held = Math.max(0, Math.min(into.length, bytes - offset))
    into.fill(0, held)
    for (let done = 0; done < held; done += maximumBytes) {
      await this.#backing.read(offset + done, into.subarray(done, Math.min(held, done + maximumBytes)))
    }
  }

  async #decompress(hi: number, lo: number): Promise<Uint8Array> {
    const last = this.#last
    if (last !== null && last.hi === hi && last.lo === lo) return last.bytes
    const forgotten = this.#forgotten
    const { clusterBits, clusterBytes, compression } = this.#metadata.header
    const { offset, bytes } = compressedPlace(hi, lo, clusterBits)
    const data = new Uint8Array(Math.max(0, Math.min(bytes, this.#storage.bytes - offset)))
    if (data.length > 0) await this.#storage.read(offset, data)
    const damaged = (cause?: unknown): BlockError =>
      new BlockError('ERR_MEDIUM', `the qcow2 image is damaged: the compressed data at ${offset}`, { cause })
    const decompress = decompressorOf(this.#codec, compression)
    const cluster = await decompress(data, clusterBytes).catch((error: unknown) => {
      throw damaged(error)
    })
    if (cluster.length !== clusterBytes) throw damaged()
    if (forgotten === this.#forgotten) this.#last = { hi, lo, bytes: cluster }
    return cluster
  }

  /** Drops the decompressed cluster: its place in the file may get other content. */
  forget(): void {
    this.#last = null
    this.#forgotten++
  }
}
