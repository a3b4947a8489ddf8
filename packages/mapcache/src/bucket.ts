/** In a bucket's `frames`: the page is ROM. Machine frames have 20 bits. */
export const ROM = 0x8000_0000

/**
 * The cached part of one aligned run of guest frames. Pages are valid one by one: a page that is not may be a hole, or
 * may never have been asked for, so that there are no negative entries which could become stale.
 */
export class Bucket {
  readonly index: number
  /**
   * By page: number of valid pages from this one on with the same kind and consecutive machine frames; 0: invalid. This
   * saves a hit the comparison of neighbours.
   */
  readonly runs: Uint32Array
  /** Machine frame of each valid page, with {@link ROM} for ROM. */
  readonly frames: Uint32Array
  validPages: number = 0
  /** Last use of the bucket, by the set's own count. */
  lastUse: number = 0
  /** The next bucket in its chain. */
  next: Bucket | null = null

  constructor(index: number, pages: number) {
    this.index = index
    this.runs = new Uint32Array(pages)
    this.frames = new Uint32Array(pages)
  }

  /** Makes invalid pages valid. */
  set(page: number, count: number, mfn: number, rom: boolean): void {
    const { runs, frames } = this
    const first = rom ? mfn + ROM : mfn
    for (let i = 0; i < count; i++) frames[page + i] = first + i
    const end = page + count
    const after = end < runs.length && frames[end] === first + count ? runs[end]! : 0
    for (let i = 0; i < count; i++) runs[page + i] = count - i + after
    this.validPages += count
    // Preceding pages extend into the new run.
    for (let at = page - 1; at >= 0 && runs[at] !== 0 && frames[at + 1] === frames[at]! + 1; at--) {
      runs[at] = runs[at + 1]! + 1
    }
  }

  /** Makes valid pages invalid. */
  clear(page: number, count: number): void {
    const runs = this.runs
    runs.fill(0, page, page + count)
    this.validPages -= count
    for (let at = page - 1; at >= 0 && runs[at]! > page - at; at--) runs[at] = page - at
  }
}

/** A number whose low bits choose a place for a bucket's index, so that RAM at wide regular distances is spread too. */
export function scattered(index: number): number {
  return index ^ (index >>> 8) ^ (index >>> 16)
}

/** Buckets by index, in chains; and which of them was used longest ago. */
export class BucketSet {
  readonly #chains: (Bucket | null)[]
  readonly #mask: number
  #uses = 0
  size: number = 0

  /** @param most - expected number of buckets, which determines the number of chains */
  constructor(most: number) {
    const chains = 2 ** Math.min(12, Math.ceil(Math.log2(most)))
    this.#chains = Array.from({ length: chains }, () => null)
    this.#mask = chains - 1
  }

  get(index: number): Bucket | null {
    let bucket = this.#chains[scattered(index) & this.#mask] ?? null
    while (bucket !== null && bucket.index !== index) bucket = bucket.next
    return bucket
  }

  /** Marks a bucket as used now. */
  touch(bucket: Bucket): void {
    bucket.lastUse = ++this.#uses
  }

  add(bucket: Bucket): void {
    const chain = scattered(bucket.index) & this.#mask
    bucket.next = this.#chains[chain] ?? null
    this.#chains[chain] = bucket
    this.size++
    this.touch(bucket)
  }

  remove(bucket: Bucket): void {
    const chain = scattered(bucket.index) & this.#mask
    let at = this.#chains[chain] ?? null
    if (at === bucket) this.#chains[chain] = bucket.next
    else {
      while (at !== null && at.next !== bucket) at = at.next
      if (at !== null) at.next = bucket.next
    }
    this.size--
  }

  /** Returns the least recently used bucket, by a scan: only evictions need it. */
  oldest(): Bucket | null {
    let oldest: Bucket | null = null
    for (const bucket of this.all()) if (oldest === null || bucket.lastUse < oldest.lastUse) oldest = bucket
    return oldest
  }

  all(): Bucket[] {
    const all: Bucket[] = []
    for (const first of this.#chains) for (let each = first; each !== null; each = each.next) all.push(each)
    return all
  }
}
