import { type BlockBackend, BlockError, type BlockProperties, type BlockRequest } from '@retrap/device'
import type { BlockImage } from './image.ts'
import { readParts, Requests } from './requests.ts'

/** The unit that is copied before a write. */
const CLUSTER_BYTES = 64 << 10

/** Old contents of ranges written between one instant and the next. */
interface Layer {
  /** Old contents by number of their 64 KiB range; null: the range could not be read. */
  readonly clusters: Map<number, Uint8Array | null>
  /** Ranges being copied. */
  readonly copying: Map<number, Promise<void>>
  next: Layer | null
}

/**
 * A filter in front of an image that can be frozen: later writes go to the image as before, and old contents that a
 * reader of a frozen instant may need are copied to memory first, 64 KiB at a time. Without frozen instants it copies
 * nothing.
 */
export class CopyBeforeWrite implements BlockBackend {
  readonly #base: BlockBackend
  /** The layer for old contents; null while no instant is kept. */
  #latest: Layer | null = null
  #frozen = 0

  /** @param base - image that no other party writes */
  constructor(base: BlockBackend) {
    this.#base = base
  }

  /** The wrapped image. */
  get base(): BlockBackend {
    return this.#base
  }

  /** The properties of the image. */
  get properties(): BlockProperties {
    return this.#base.properties
  }

  /**
   * Returns the image as it is now, to be read. Writes that are under way may be in it or not, in part even. To be closed:
   * until then, old contents take memory.
   */
  freeze(): BlockImage {
    const layer: Layer = { clusters: new Map(), copying: new Map(), next: null }
    if (this.#latest !== null) this.#latest.next = layer
    this.#latest = layer
    this.#frozen++
    return frozenImage(this.#base, layer, () => {
      this.#frozen--
      if (this.#frozen === 0) this.#latest = null
    })
  }

  /** Fills `into`. */
  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#base.read(offset, into, request)
  }

  /** See `BlockBackend.readInPlace`. */
  readInPlace(offset: number, into: Uint8Array): boolean {
    return this.#base.readInPlace?.(offset, into) ?? false
  }

  /** Writes `from`. */
  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#after(offset, from.length, () => this.#base.write(offset, from, request))
  }

  /** See `BlockBackend.writeInPlace`: false if a copy has to be made first. */
  writeInPlace(offset: number, from: Uint8Array): boolean {
    if (this.#base.writeInPlace === undefined || this.#toCopy(offset, from.length).length > 0) return false
    return this.#base.writeInPlace(offset, from)
  }

  /** Makes all completed writes durable. */
  flush(request?: BlockRequest): Promise<void> {
    return this.#base.flush(request)
  }

  /** Marks the content of a range as unneeded. */
  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#after(offset, bytes, () => this.#base.discard(offset, bytes, request))
  }

  /** Makes a range read as zeros. */
  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    return this.#after(offset, bytes, () => this.#base.writeZeroes(offset, bytes, request))
  }

  /** Calls back when the image has changed. */
  onChange(listener: () => void): () => void {
    return this.#base.onChange(listener)
  }

  #after(offset: number, bytes: number, change: () => Promise<void>): Promise<void> {
    const clusters = this.#toCopy(offset, bytes)
    const layer = this.#latest
    if (layer === null || clusters.length === 0) return change()
    return Promise.all(clusters.map((cluster) => this.#copy(layer, cluster))).then(change)
  }

  /** Returns clusters whose old contents the latest layer lacks. */
  #toCopy(offset: number, bytes: number): number[] {
    const layer = this.#latest
    if (layer === null || !(bytes > 0)) return []
    const found: number[] = []
    const last = Math.floor((Math.min(offset + bytes, this.properties.bytes) - 1) / CLUSTER_BYTES)
    for (let cluster = Math.floor(offset / CLUSTER_BYTES); cluster <= last; cluster++)
      if (!layer.clusters.has(cluster)) found.push(cluster)
    return found
  }

  #copy(layer: Layer, cluster: number): Promise<void> {
    const under = layer.copying.get(cluster)
    if (under !== undefined) return under
    const first = cluster * CLUSTER_BYTES
    const bytes = new Uint8Array(Math.min(CLUSTER_BYTES, this.properties.bytes - first))
    const copied = readParts(this.#base, first, bytes)
      .then(
        () => void layer.clusters.set(cluster, bytes),
        // The write proceeds: readers of the instant get an error instead.
        () => void layer.clusters.set(cluster, null),
      )
      .finally(() => layer.copying.delete(cluster))
    layer.copying.set(cluster, copied)
    return copied
  }
}

/** An image's content at one instant. @param from - old contents of the first writes after the instant; later layers follow */
function frozenImage(base: BlockBackend, from: Layer, ended: () => void): BlockImage {
  const requests = new Requests()
  const properties = (): BlockProperties => ({ ...base.properties, readOnly: true })
  /** The contents at the instant of a range that was written since; null: they could not be read. */
  const oldOf = (cluster: number): Uint8Array | null | undefined => {
    for (let layer: Layer | null = from; layer !== null; layer = layer.next) {
      const old = layer.clusters.get(cluster)
      if (old !== undefined) return old
    }
    return undefined
  }
  const refuse = (): Promise<void> =>
    Promise.reject(new BlockError('ERR_READ_ONLY', 'an image as it was at one instant cannot be written'))
  return {
    get properties() {
      return properties()
    },
    read: (offset, into, request) =>
      requests.run(properties(), { offset, bytes: into.length }, request, async () => {
        await base.read(offset, into, request)
        // A write that came meanwhile has left the old contents before it began.
        const end = offset + into.length
        for (let at = offset; at < end;) {
          const cluster = Math.floor(at / CLUSTER_BYTES)
          const length = Math.min(end - at, CLUSTER_BYTES - (at % CLUSTER_BYTES))
          const old = oldOf(cluster)
          if (old === null) throw new BlockError('ERR_MEDIUM', `the old contents at ${at} could not be read`)
          const first = at % CLUSTER_BYTES
          if (old !== undefined) into.set(old.subarray(first, first + length), at - offset)
          at += length
        }
      }),
    write: refuse,
    flush: () => Promise.resolve(),
    discard: refuse,
    writeZeroes: refuse,
    onChange: () => () => undefined,
    idle: () => requests.idle(),
    close: () => requests.close(ended),
  }
}
