import { SplitAccess } from '@retrap/device/host'
import type { ClaimedRegion } from './region.ts'
import type { RegionTable } from './region-table.ts'

/** Makes accesses to regions whose models answer at once, call by call. Made once: an access allocates nothing. */
export class PieceAccess {
  /** Low word of the last answer; of a write, what was written. */
  lo = 0
  /** High word of it. */
  hi = 0
  /** The last failure. */
  error: unknown = null
  /** Where the failing piece begins. */
  failedAt = 0
  /** Its bytes. */
  failedBytes = 0
  readonly #split = new SplitAccess<ClaimedRegion>()
  readonly #onFailure: ((region: ClaimedRegion) => boolean) | undefined

  /** @param onFailure - true: the failing piece is ones, and the access goes on; default it ends */
  constructor(onFailure?: (region: ClaimedRegion) => boolean) {
    this.#onFailure = onFailure
  }

  /** Reads 1–8 bytes. @returns the region that failed, with `error`; or null */
  read(regions: RegionTable, kind: 'port' | 'mmio', address: number, size: number): ClaimedRegion | null {
    this.#split.begin(regions, kind, address, size, 0, 0)
    return this.#perform(true)
  }

  /** Writes 1–8 bytes. @returns as `read` */
  write(
    regions: RegionTable,
    kind: 'port' | 'mmio',
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): ClaimedRegion | null {
    this.#split.begin(regions, kind, address, size, lo, hi)
    return this.#perform(false)
  }

  #perform(read: boolean): ClaimedRegion | null {
    const split = this.#split
    while (split.next()) {
      try {
        split.call(read)
      } catch (error) {
        this.error = error
        this.failedAt = split.pieceAt
        this.failedBytes = split.pieceBytes
        const region = split.range!
        if (this.#onFailure?.(region) !== true) return region
        split.fail()
      }
    }
    this.lo = split.lo
    this.hi = split.hi
    return null
  }
}
