import { PAGE_BYTES } from '@retrap/memory'
import { Bucket, BucketSet, ROM } from './bucket.ts'
import { hex, MapCacheError } from './errors.ts'
import { GuestFrame, type FrameKind, type FrameReferences, type GuestMap } from './guest-map.ts'
import { Shortcuts } from './shortcuts.ts'

/** Frame numbers that an x86 or Arm guest can have: 52-bit guest-physical addresses. */
export const MAX_GFN: number = 2 ** 40

/**
 * Guest frames' machine frames in buckets, each page with a reference to its frame, the least recently used bucket
 * given up for room.
 *
 * `resolve` leaves its answer in `kind`, `mfn` and `run`, so that nothing is allocated on a hit.
 */
export class PageCache {
  kind: FrameKind = 'hole'
  mfn: number = -1
  /** Number of consecutive frames of the same kind, from the resolved one on. */
  run: number = 0
  hits: number = 0
  shortcutHits: number = 0
  misses: number = 0
  evictions: number = 0
  readonly #map: GuestMap
  readonly #references: FrameReferences | null
  readonly #pages: number
  readonly #shift: number
  readonly #mostBuckets: number
  readonly #beforeDrop: (gfn: number, count: number) => void
  readonly #buckets: BucketSet
  readonly #shortcuts: Shortcuts
  readonly #frame = new GuestFrame()
  readonly #again = new GuestFrame()
  #last: Bucket | null = null

  /**
   * @param pages - pages of a bucket: a power of two
   * @param mostBuckets - at least 1
   * @param beforeDrop - called before references to pages are dropped for room
   */
  constructor(
    map: GuestMap,
    references: FrameReferences | null,
    pages: number,
    mostBuckets: number,
    beforeDrop: (gfn: number, count: number) => void,
  ) {
    this.#map = map
    this.#references = references
    this.#pages = pages
    this.#shift = Math.log2(pages)
    this.#mostBuckets = mostBuckets
    this.#buckets = new BucketSet(mostBuckets)
    this.#shortcuts = new Shortcuts(pages * PAGE_BYTES, mostBuckets)
    this.#beforeDrop = beforeDrop
  }

  get buckets(): number {
    return this.#buckets.size
  }

  /** Number of cached pages. */
  get validPages(): number {
    let sum = 0
    for (const bucket of this.#buckets.all()) sum += bucket.validPages
    return sum
  }

  /** Returns the cached machine frame of a guest frame, for debuggers; −1: not cached. */
  peek(gfn: number): number {
    const index = Math.floor(gfn / this.#pages)
    const page = gfn - index * this.#pages
    const bucket = this.#buckets.get(index)
    return bucket === null || bucket.runs[page] === 0 ? -1 : bucket.frames[page]! % ROM
  }

  /**
   * Returns the machine address of bytes within a recently used run; −1 if `resolve` has to find them. Sets only
   * `kind`.
   *
   * @param length - at least 1
   */
  find(gpa: number, length: number): number {
    const shortcuts = this.#shortcuts
    const slot = shortcuts.slotOf(gpa)
    if (!(gpa >= shortcuts.starts[slot]! && gpa + length <= shortcuts.ends[slot]!)) return -1
    const bucket = shortcuts.buckets[slot]!
    if (bucket === this.#last) this.shortcutHits++
    else {
      this.hits++
      this.#buckets.touch(bucket)
      this.#last = bucket
    }
    this.kind = shortcuts.roms[slot] === 0 ? 'ram' : 'rom'
    return gpa + shortcuts.distances[slot]!
  }

  /**
   * Resolves frames from `gfn` on, up to `wanted`, as far as they have one kind and are consecutive.
   *
   * @throws MapCacheError `ERR_UNOWNED`
   */
  resolve(gfn: number, wanted: number): void {
    if (gfn >= MAX_GFN) {
      this.#answer('hole', -1, wanted)
      return
    }
    const pages = this.#pages
    // Integer arithmetic below 8 TiB.
    const small = gfn | 0
    const index = small === gfn ? small >>> this.#shift : Math.floor(gfn / pages)
    const page = small === gfn ? small & (pages - 1) : gfn - index * pages
    let bucket = this.#last
    if (bucket !== null && bucket.index === index) {
      const run = bucket.runs[page]!
      if (run !== 0) {
        this.shortcutHits++
        this.#take(bucket, page, run, wanted)
        return
      }
    } else {
      bucket = this.#buckets.get(index)
      if (bucket !== null) {
        this.#buckets.touch(bucket)
        this.#last = bucket
        const run = bucket.runs[page]!
        if (run !== 0) {
          this.hits++
          this.#take(bucket, page, run, wanted)
          return
        }
      }
    }
    this.misses++
    const filled = this.#fill(bucket, index, page)
    if (filled !== null) this.#take(filled, page, filled.runs[page]!, wanted)
    else this.#answer(this.#frame.kind, -1, Math.min(wanted, this.#frame.run))
  }

  /** Drops cached pages, which are resolved again when needed. */
  drop(gfn: number, count: number): void {
    const pages = this.#pages
    const first = Math.floor(gfn / pages)
    const last = Math.floor((gfn + count - 1) / pages)
    if (last - first < this.#buckets.size) {
      for (let index = first; index <= last; index++) {
        const bucket = this.#buckets.get(index)
        if (bucket !== null) this.#dropFrom(bucket, gfn, count)
      }
      return
    }
    for (const bucket of this.#buckets.all())
      if (bucket.index >= first && bucket.index <= last) this.#dropFrom(bucket, gfn, count)
  }

  #answer(kind: FrameKind, mfn: number, run: number): void {
    this.kind = kind
    this.mfn = mfn
    this.run = run
  }

  #take(bucket: Bucket, page: number, run: number, wanted: number): void {
    const frame = bucket.frames[page]!
    const rom = frame >= ROM
    this.kind = rom ? 'rom' : 'ram'
    this.mfn = rom ? frame - ROM : frame
    this.run = run < wanted ? run : wanted
    this.#shortcuts.set(
      bucket,
      (bucket.index * this.#pages + page) * PAGE_BYTES,
      run * PAGE_BYTES,
      this.mfn * PAGE_BYTES,
      rom,
    )
  }

  /** Makes a page valid, with following pages of the same run in its bucket. Null: not RAM. */
  #fill(bucket: Bucket | null, index: number, page: number): Bucket | null {
    const frame = this.#frame
    const gfn = index * this.#pages + page
    for (;;) {
      this.#map.lookup(gfn, frame)
      if (frame.kind !== 'ram' && frame.kind !== 'rom') return null
      let count = 1
      const most = Math.min(frame.run, this.#pages - page)
      while (count < most && (bucket === null || bucket.runs[page + count] === 0)) count++
      if (!this.#hold(gfn, frame, count)) continue
      const filled = bucket ?? this.#newBucket(index)
      filled.set(page, count, frame.mfn, frame.kind === 'rom')
      return filled
    }
  }

  /**
   * Takes references to frames just looked up. Another thread may have unmapped and freed them in between, so this
   * looks them up again: false means to start over.
   */
  #hold(gfn: number, frame: GuestFrame, count: number): boolean {
    const references = this.#references
    if (references === null) return true
    const again = this.#again
    const taken = references.tryTake(frame.mfn, count)
    this.#map.lookup(gfn, again)
    const same = again.mfn === frame.mfn && again.kind === frame.kind && again.run >= frame.run
    if (taken && same) return true
    if (taken) references.drop(frame.mfn, count)
    else if (same) {
      throw new MapCacheError('ERR_UNOWNED', `guest frame ${hex(gfn)} is mapped to ${hex(frame.mfn)}, which is free`, {
        gfn,
        mfn: frame.mfn,
      })
    }
    return false
  }

  #newBucket(index: number): Bucket {
    while (this.#buckets.size >= this.#mostBuckets) {
      const oldest = this.#buckets.oldest()
      if (oldest === null) break
      this.evictions++
      this.#beforeDrop(oldest.index * this.#pages, this.#pages)
      this.#dropFrom(oldest, oldest.index * this.#pages, this.#pages)
    }
    const bucket = new Bucket(index, this.#pages)
    this.#buckets.add(bucket)
    this.#last = bucket
    return bucket
  }

  #dropFrom(bucket: Bucket, gfn: number, count: number): void {
    const base = bucket.index * this.#pages
    const end = Math.min(gfn + count - base, this.#pages)
    let page = Math.max(gfn - base, 0)
    while (page < end) {
      const run = Math.min(bucket.runs[page]!, end - page)
      if (run > 0) {
        this.#shortcuts.forget(bucket)
        bucket.clear(page, run)
        this.#references?.drop(bucket.frames[page]! % ROM, run)
      }
      page += Math.max(run, 1)
    }
    if (bucket.validPages > 0) return
    this.#buckets.remove(bucket)
    if (this.#last === bucket) this.#last = null
  }
}
