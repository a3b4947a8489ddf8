import { type Bucket, scattered } from './bucket.ts'

const SLOT_BITS = 8
const SLOTS = 2 ** SLOT_BITS

/**
 * The run of pages used last of each bucket, in one of a few slots: what nearly every access finds with two comparisons.
 * A bucket's goes with its first page that goes.
 */
export class Shortcuts {
  /** By slot: GPA of the run's first byte; infinite where there is none. */
  readonly starts: Float64Array = new Float64Array(SLOTS).fill(Infinity)
  /** GPA behind its last byte. */
  readonly ends: Float64Array = new Float64Array(SLOTS)
  /** What is to be added to a GPA of it for the MA. */
  readonly distances: Float64Array = new Float64Array(SLOTS)
  /** 1 for ROM. */
  readonly roms: Uint8Array = new Uint8Array(SLOTS)
  readonly buckets: (Bucket | null)[] = Array.from({ length: SLOTS }, () => null)
  readonly #perByte: number

  /** @param bucketBytes - a power of two */
  constructor(bucketBytes: number) {
    this.#perByte = 1 / bucketBytes
  }

  /** Where the shortcut to an address would be. */
  slotOf(gpa: number): number {
    return scattered(gpa * this.#perByte, SLOT_BITS)
  }

  set(bucket: Bucket, gpa: number, bytes: number, ma: number, rom: boolean): void {
    const slot = scattered(bucket.index, SLOT_BITS)
    this.starts[slot] = gpa
    this.ends[slot] = gpa + bytes
    this.distances[slot] = ma - gpa
    this.roms[slot] = rom ? 1 : 0
    this.buckets[slot] = bucket
  }

  /** To be called before a page of a bucket goes. */
  forget(bucket: Bucket): void {
    const slot = scattered(bucket.index, SLOT_BITS)
    this.starts[slot] = Infinity
    this.buckets[slot] = null
  }
}
