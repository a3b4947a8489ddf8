import { type Bucket, scattered } from './bucket.ts'

/** log2 of the most shortcuts. */
const MOST_BITS = 8

/**
 * The most recently used run of pages of each bucket, in one of a few slots: two comparisons find nearly every access.
 * A bucket's run is dropped with its first dropped page.
 */
export class Shortcuts {
  /** By slot: GPA of the run's first byte; infinite: unused. */
  readonly starts: Float64Array
  /** GPA after the run's last byte. */
  readonly ends: Float64Array
  /** Distance from a GPA in the run to its MA. */
  readonly distances: Float64Array
  /** 1 for ROM. */
  readonly roms: Uint8Array
  readonly buckets: (Bucket | null)[]
  readonly #mask: number
  readonly #perByte: number

  /**
   * @param bucketBytes - a power of two
   * @param mostBuckets - expected number of buckets
   */
  constructor(bucketBytes: number, mostBuckets: number) {
    this.#perByte = 1 / bucketBytes
    const slots = 2 ** Math.min(MOST_BITS, Math.ceil(Math.log2(mostBuckets)))
    this.#mask = slots - 1
    this.starts = new Float64Array(slots).fill(Infinity)
    this.ends = new Float64Array(slots)
    this.distances = new Float64Array(slots)
    this.roms = new Uint8Array(slots)
    this.buckets = Array.from({ length: slots }, () => null)
  }

  /** Index of an address's shortcut, if it has one. */
  slotOf(gpa: number): number {
    return scattered(gpa * this.#perByte) & this.#mask
  }

  set(bucket: Bucket, gpa: number, bytes: number, ma: number, rom: boolean): void {
    const slot = scattered(bucket.index) & this.#mask
    this.starts[slot] = gpa
    this.ends[slot] = gpa + bytes
    this.distances[slot] = ma - gpa
    this.roms[slot] = rom ? 1 : 0
    this.buckets[slot] = bucket
  }

  /** To be called before a page of a bucket is dropped. */
  forget(bucket: Bucket): void {
    const slot = scattered(bucket.index) & this.#mask
    this.starts[slot] = Infinity
    this.buckets[slot] = null
  }
}
