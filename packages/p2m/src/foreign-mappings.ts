import { check, checkP2m } from './checks.ts'
import { hex, P2mError } from './errors.ts'
import type { FrameCounts } from './frame-counts.ts'
import type { P2m } from './p2m.ts'
import { P2mType } from './types.ts'

/**
 * Foreign frames in a guest's map, each with a reference: taken before the frame is mapped, dropped once it is unmapped
 * and flushed from all TLBs. If the owner frees the frame meanwhile, it is not reused.
 */
export class ForeignMappings {
  readonly #p2m: P2m
  readonly #counts: FrameCounts
  readonly #gfns = new Set<number>()

  constructor(p2m: P2m, counts: FrameCounts) {
    checkP2m(p2m)
    check.object('counts', counts)
    this.#p2m = p2m
    this.#counts = counts
  }

  /** Number of foreign guest frames. */
  get size(): number {
    return this.#gfns.size
  }

  /**
   * Maps one foreign frame, of 4 KiB. RAM mapped there before is released.
   *
   * @param type - `MAP_FOREIGN`, `GRANT_MAP_RW` or `GRANT_MAP_RO`
   * @throws P2mError `ERR_COUNT` for a free frame, `ERR_FOREIGN` where another's is mapped already, and as
   * `P2m.insertForeign`; nothing has changed then
   */
  map(gfn: number, mfn: number, type: number = P2mType.MAP_FOREIGN): void {
    if (this.#gfns.has(gfn)) {
      throw new P2mError('ERR_FOREIGN', `guest frame ${hex(gfn)} is another's already`, { gfn })
    }
    if (!this.#counts.tryTake(mfn, 1)) {
      throw new P2mError('ERR_COUNT', `machine frame ${hex(mfn)} belongs to no guest; expected a frame in use`, { mfn })
    }
    try {
      this.#p2m.insertForeign(gfn, mfn, type)
    } catch (error) {
      this.#counts.drop(mfn, 1)
      throw error
    }
    this.#gfns.add(gfn)
  }

  /**
   * Unmaps a foreign frame; dropping its last reference frees the frame.
   *
   * @throws P2mError `ERR_TYPE` if the frame is not foreign
   */
  unmap(gfn: number): void {
    const mfn = this.#p2m.removeForeign(gfn)
    this.#gfns.delete(gfn)
    this.#counts.drop(mfn, 1)
  }

  /** Unmaps all: before the map is destroyed. */
  unmapAll(): void {
    for (const gfn of this.#gfns) this.unmap(gfn)
  }
}
