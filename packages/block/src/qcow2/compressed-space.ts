import { compressedHi, offsetLo } from './format.ts'
import type { Metadata } from './metadata.ts'

/** Finds room for compressed clusters: several share a cluster of the file. */
export class CompressedSpace {
  readonly #metadata: Metadata
  /** Where the free rest of the last cluster begins and ends. */
  #at = 0
  #end = 0
  #releases = 0

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** Takes room for data that is smaller than a cluster. Call it in `Metadata.change`. */
  async take(bytes: number): Promise<{ readonly offset: number; readonly hi: number; readonly lo: number }> {
    const { clusterBytes, clusterBits } = this.#metadata.header
    const { refcounts } = this.#metadata
    // The last cluster may have become free.
    if (this.#releases !== this.#metadata.releases) this.#at = this.#end = 0
    this.#releases = this.#metadata.releases
    const shared = this.#at - (this.#at % clusterBytes)
    const canShare = this.#at < this.#end && (await refcounts.get(shared)) < refcounts.width.most
    if (!canShare) this.#at = this.#end = 0
    if (this.#at + bytes > this.#end) {
      const { offset } = await this.#metadata.allocate(1)
      // Data goes on in the next cluster where that one follows.
      if (offset !== this.#end) this.#at = offset
      else if (this.#at < this.#end) await refcounts.add(shared, 1)
      this.#end = offset + clusterBytes
    } else await refcounts.add(shared, 1)
    const offset = this.#at
    this.#at += bytes
    return { offset, hi: compressedHi(offset, bytes, clusterBits), lo: offsetLo(offset) }
  }
}
