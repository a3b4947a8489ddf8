import { readRegion, writeRegion } from '@retrap/device/host'
import type { ClaimedRegion } from './region.ts'
import type { LocalRegions } from './server.ts'
import { putBytes, wordAt } from './words.ts'

/**
 * Makes one access to regions whose models answer at once, split where it leaves a region. A place that nobody claims
 * reads as ones. Made once: an access allocates nothing.
 */
export class PieceAccess {
  /** Low word of the last answer; of a write, what was written. */
  lo = 0
  /** High word of it. */
  hi = 0
  /** What the last failure was. */
  error: unknown = null
  /** Where the failing piece begins, and its bytes. */
  failedAt = 0
  failedBytes = 0
  readonly #bytes = new Uint8Array(8)
  readonly #onFailure: ((region: ClaimedRegion) => boolean) | undefined

  /** @param onFailure - true: the failing piece is ones, and the access goes on; default it ends */
  constructor(onFailure?: (region: ClaimedRegion) => boolean) {
    this.#onFailure = onFailure
  }

  /**
   * @param size - 1–8
   * @param lo - with `hi`, what is written
   * @returns the region that failed, with `error`; or null
   */
  perform(
    regions: Pick<LocalRegions, 'regionAt'>,
    kind: 'port' | 'mmio',
    read: boolean,
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): ClaimedRegion | null {
    const bytes = this.#bytes
    putBytes(bytes, 0, 8, lo, hi)
    for (let done = 0; done < size;) {
      const region = regions.regionAt(kind, address + done)
      // Ranges may have changed since the request was sent.
      if (region === null) {
        bytes[done++] = 0xff
        continue
      }
      const offset = address + done - region.base
      const piece = Math.min(size - done, region.length - offset)
      try {
        if (read) {
          readRegion(region, offset, piece, this)
          putBytes(bytes, done, piece, this.lo, this.hi)
        } else writeRegion(region, offset, piece, wordAt(bytes, done), wordAt(bytes, done + 4))
      } catch (error) {
        this.error = error
        this.failedAt = address + done
        this.failedBytes = piece
        if (this.#onFailure?.(region) !== true) return region
        if (read) bytes.fill(0xff, done, done + piece)
      }
      done += piece
    }
    bytes.fill(0, size)
    this.lo = wordAt(bytes, 0)
    this.hi = wordAt(bytes, 4)
    return null
  }
}
