import type { BlockBackend, BlockProperties, BlockRequest } from '@retrap/device'
import { ImageError, type BlockImage } from './image.ts'
import { readParts, Requests, WHOLE } from './requests.ts'

/** The writes that an {@link Overlay} holds: plain data. */
export interface OverlayState {
  /** Version of this shape. */
  readonly version: 1
  /** Size of the disk, which is that of the image below. */
  readonly diskBytes: number
  /** Numbers of the ranges of 64 KiB that were written, from low to high. */
  readonly clusters: Uint32Array
  /** Contents in the same order, 64 KiB for each cluster. */
  readonly bytes: Uint8Array
  /** Numbers of zero clusters, in ascending order. */
  readonly zeroes: Uint32Array
}

/** Options of {@link Overlay}. */
export interface OverlayOptions {
  /** Says that `discard` may free storage, which an image had said that a guest has seen. Default false. */
  readonly discards?: boolean
}

/** The unit that is copied on a first write. */
const CLUSTER_BYTES = 64 << 10

/**
 * A copy-on-write overlay in memory: the image below is only read, and writes are kept until the overlay is dropped. It
 * takes the host 64 KiB of memory for each such range that the guest writes to, unless it makes all of it zeros.
 */
export class Overlay implements BlockImage {
  readonly #base: BlockBackend
  readonly #discards: boolean
  readonly #clusters = new Map<number, Uint8Array>()
  /** Clusters that read as zeros, regardless of the base. */
  #zeroes = new ClusterSet()
  /** Clusters being copied: a second write waits for the first one's copy, so that neither is lost. */
  readonly #copying = new Map<number, Promise<Uint8Array>>()
  readonly #requests = new Requests()

  /** @param base - image that is read through this overlay and never written; `close` closes it, if it has a `close` */
  constructor(base: BlockBackend, { discards = false }: OverlayOptions = {}) {
    this.#base = base
    this.#discards = discards
  }

  /** The properties of the image below, writable. */
  get properties(): BlockProperties {
    return { ...this.#base.properties, readOnly: false, discards: this.#discards }
  }

  /** Bytes of memory that the overlay holds. */
  get heldBytes(): number {
    return this.#clusters.size * CLUSTER_BYTES
  }

  /** Returns a copy of all that has been written. To be called while no request is under way; see {@link Overlay.idle}. */
  save(): OverlayState {
    const kept = [...this.#clusters].toSorted(([a], [b]) => a - b)
    const bytes = new Uint8Array(kept.length * CLUSTER_BYTES)
    for (const [i, [, cluster]] of kept.entries()) bytes.set(cluster, i * CLUSTER_BYTES)
    return {
      version: 1,
      diskBytes: this.#base.properties.bytes,
      clusters: Uint32Array.from(kept, ([index]) => index),
      bytes,
      zeroes: Uint32Array.from(this.#zeroes.list()),
    }
  }

  /**
   * Restores saved writes, replacing all later ones. No request may be pending.
   *
   * @throws ImageError `ERR_FORMAT` for an invalid state, or that of a disk of another size: nothing has changed then
   */
  restore(state: OverlayState): void {
    this.checkState(state)
    const { clusters, bytes, zeroes } = state
    this.#clusters.clear()
    this.#zeroes = new ClusterSet()
    for (const [i, index] of clusters.entries())
      this.#clusters.set(index, bytes.slice(i * CLUSTER_BYTES, (i + 1) * CLUSTER_BYTES))
    for (const index of zeroes) if (!this.#clusters.has(index)) this.#zeroes.add(index)
  }

  /** Checks an argument of {@link Overlay.restore}, and changes nothing. @throws ImageError `ERR_FORMAT` as `restore` does */
  checkState({ version, diskBytes, clusters, bytes, zeroes }: OverlayState): void {
    const size = this.#base.properties.bytes
    if (diskBytes !== size)
      throw new ImageError('ERR_FORMAT', `writes to a disk of ${String(diskBytes)} bytes: expected ${size}`)
    const isState = version === 1 && clusters instanceof Uint32Array && zeroes instanceof Uint32Array
    const count = Math.ceil(size / CLUSTER_BYTES)
    const fits = (index: number): boolean => index < count
    if (
      !isState ||
      !(bytes instanceof Uint8Array) ||
      bytes.length !== clusters.length * CLUSTER_BYTES ||
      !clusters.every(fits) ||
      !zeroes.every(fits)
    )
      throw new ImageError('ERR_FORMAT', 'the saved writes to a disk are damaged')
  }

  /** Fills `into`. */
  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes: into.length }, request, async () => {
      for (let done = 0; done < into.length;) {
        const at = offset + done
        const index = Math.floor(at / CLUSTER_BYTES)
        const cluster = this.#clusters.get(index)
        const isHeld = this.#holds(index)
        const length = isHeld ? inCluster(at, into.length - done) : this.#untouched(at, into.length - done)
        const part = into.subarray(done, done + length)
        if (cluster !== undefined) part.set(cluster.subarray(at % CLUSTER_BYTES, (at % CLUSTER_BYTES) + length))
        else if (isHeld) part.fill(0)
        else await readParts(this.#base, at, part, request)
        done += length
      }
    })
  }

  /** Writes `from`. */
  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes: from.length }, request, () =>
      this.#each(offset, from.length, (cluster, at, done, length) => {
        cluster.set(from.subarray(done, done + length), at)
      }),
    )
  }

  /** Does nothing, because the overlay does not survive the process. */
  flush(request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, WHOLE, request, async () => {})
  }

  /** Keeps the content. */
  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes }, request, async () => {})
  }

  /** Makes a range read as zeros. */
  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#requests.run(this.properties, { offset, bytes }, request, async () => {
      for (let at = offset; at < offset + bytes;) {
        const length = inCluster(at, offset + bytes - at)
        const index = Math.floor(at / CLUSTER_BYTES)
        if (this.#isWhole(index, at, length)) {
          this.#clusters.delete(index)
          this.#zeroes.add(index)
        } else {
          await this.#each(at, length, (cluster, from) => {
            cluster.fill(0, from, from + length)
          })
        }
        at += length
      }
    })
  }

  /** Calls back when the image below has changed. */
  onChange(listener: () => void): () => void {
    return this.#base.onChange(listener)
  }

  /** See `BlockImage.idle`. */
  idle(): Promise<void> {
    return this.#requests.idle()
  }

  /** See `BlockImage.close`. */
  close(): Promise<void> {
    return this.#requests.close(async () => {
      this.#clusters.clear()
      this.#zeroes = new ClusterSet()
      if (isClosable(this.#base)) await this.#base.close()
    })
  }

  /** Whether the overlay holds a cluster, which hides the base's. */
  #holds(index: number): boolean {
    return this.#clusters.has(index) || this.#zeroes.has(index)
  }

  /** Bytes from `at` on, up to `most`, that only the image below has. */
  #untouched(at: number, most: number): number {
    let length = inCluster(at, most)
    while (length < most && !this.#holds(Math.floor((at + length) / CLUSTER_BYTES))) {
      length += inCluster(at + length, most - length)
    }
    return length
  }

  /** Calls back for each cluster of a range, with a mutable copy. */
  async #each(
    offset: number,
    bytes: number,
    change: (cluster: Uint8Array, at: number, done: number, length: number) => void,
  ): Promise<void> {
    for (let done = 0; done < bytes;) {
      const at = offset + done
      const length = inCluster(at, bytes - done)
      const index = Math.floor(at / CLUSTER_BYTES)
      const cluster = this.#present(index) ?? this.#cover(index, at, length) ?? (await this.#copy(index))
      change(cluster, at % CLUSTER_BYTES, done, length)
      done += length
    }
  }

  /** Returns the overlay's own copy of a cluster, if present. */
  #present(index: number): Uint8Array | undefined {
    if (this.#zeroes.delete(index)) this.#clusters.set(index, new Uint8Array(CLUSTER_BYTES))
    return this.#clusters.get(index)
  }

  #isWhole(index: number, at: number, length: number): boolean {
    return at === index * CLUSTER_BYTES && length >= this.#bytesOf(index)
  }

  /** Makes room for a cluster that is about to be overwritten in full; null where a part of the old one stays. */
  #cover(index: number, at: number, length: number): Uint8Array | null {
    if (!this.#isWhole(index, at, length)) return null
    const cluster = new Uint8Array(CLUSTER_BYTES)
    this.#clusters.set(index, cluster)
    return cluster
  }

  /** Copies a cluster of the base. A failure leaves the overlay unchanged. */
  #copy(index: number): Promise<Uint8Array> {
    const under = this.#copying.get(index)
    if (under !== undefined) return under
    const copy = this.#readCluster(index).finally(() => this.#copying.delete(index))
    this.#copying.set(index, copy)
    return copy
  }

  async #readCluster(index: number): Promise<Uint8Array> {
    const cluster = new Uint8Array(CLUSTER_BYTES)
    await readParts(this.#base, index * CLUSTER_BYTES, cluster.subarray(0, this.#bytesOf(index)))
    // A write of the whole cluster does not wait for this copy.
    const newer = this.#present(index)
    if (newer !== undefined) return newer
    this.#clusters.set(index, cluster)
    return cluster
  }

  /** Bytes of a cluster that lie in the image. */
  #bytesOf(index: number): number {
    return Math.min(CLUSTER_BYTES, this.#base.properties.bytes - index * CLUSTER_BYTES)
  }
}

/** Bytes from `at` to the end of its cluster, at most `most`. */
const inCluster = (at: number, most: number): number => Math.min(most, CLUSTER_BYTES - (at % CLUSTER_BYTES))

const isClosable = (backend: BlockBackend): backend is BlockImage =>
  'close' in backend && typeof backend.close === 'function'

/** Clusters of a page: 4 KiB of memory. */
const PAGE_CLUSTERS = 32_768

/** A set of clusters, with one bit for each. */
class ClusterSet {
  readonly #pages = new Map<number, Uint32Array>()

  has(cluster: number): boolean {
    const bit = cluster % PAGE_CLUSTERS
    const word = this.#pages.get(Math.floor(cluster / PAGE_CLUSTERS))?.[bit >>> 5] ?? 0
    return ((word >>> (bit & 31)) & 1) === 1
  }

  add(cluster: number): void {
    const key = Math.floor(cluster / PAGE_CLUSTERS)
    const bit = cluster % PAGE_CLUSTERS
    let page = this.#pages.get(key)
    if (page === undefined) this.#pages.set(key, (page = new Uint32Array(PAGE_CLUSTERS / 32)))
    page[bit >>> 5]! |= 1 << (bit & 31)
  }

  /** @returns whether the set contained the cluster */
  delete(cluster: number): boolean {
    const found = this.has(cluster)
    const bit = cluster % PAGE_CLUSTERS
    if (found) this.#pages.get(Math.floor(cluster / PAGE_CLUSTERS))![bit >>> 5]! &= ~(1 << (bit & 31))
    return found
  }

  /** Returns all clusters in ascending order. */
  list(): number[] {
    const found: number[] = []
    for (const [key, page] of [...this.#pages].toSorted(([a], [b]) => a - b)) {
      for (const [index, word] of page.entries()) {
        for (let bits = word; bits !== 0; bits &= bits - 1)
          found.push(key * PAGE_CLUSTERS + index * 32 + 31 - Math.clz32(bits & -bits))
      }
    }
    return found
  }
}
