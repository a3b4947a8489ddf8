import { hex } from '@retrap/device/host'
import { MAX_NR_IO_RANGES } from './layout.ts'
import { IoreqError } from './errors.ts'

/**
 * The ranges of one type that an ioreq server has claimed: disjoint, sorted, neighbours merged, so that an access
 * over two adjoining claims is inside. Ends are inclusive, as in `dm_op`.
 */
export class RangeSet {
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #limit: number

  constructor(limit: number = MAX_NR_IO_RANGES) {
    this.#limit = limit
  }

  /** Ranges held, after merging. */
  get count(): number {
    return this.#starts.length
  }

  /** First address of range `index`. */
  start(index: number): number {
    return this.#starts[index]!
  }

  /** Last address of range `index`. */
  end(index: number): number {
    return this.#ends[index]!
  }

  /** Index of the last range that begins at or before `address`, or −1. */
  #before(address: number): number {
    const starts = this.#starts
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= address) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Whether all of `first` … `last` is claimed. */
  contains(first: number, last: number): boolean {
    const at = this.#before(first)
    return at >= 0 && this.#ends[at]! >= last
  }

  /** Whether any of `first` … `last` is claimed. */
  overlaps(first: number, last: number): boolean {
    const at = this.#before(last)
    return at >= 0 && this.#ends[at]! >= first
  }

  /**
   * Claims `start` … `end`.
   *
   * @throws IoreqError `ERR_INVALID` for start > end, `ERR_EXISTS` on overlap, `ERR_NO_SPACE` at the limit
   */
  add(start: number, end: number): void {
    checkOrder(start, end)
    if (this.overlaps(start, end)) {
      throw new IoreqError('ERR_EXISTS', `range ${hex(start)}–${hex(end)} overlaps one that the server has claimed`)
    }
    this.addUnion(start, end)
  }

  /** Claims what of `start` … `end` is not claimed yet. */
  addUnion(start: number, end: number): void {
    const starts = this.#starts
    const ends = this.#ends
    // All ranges that touch or adjoin the new one become one with it.
    let from = this.#before(start - 1)
    if (from < 0 || ends[from]! < start - 1) from++
    let to = from
    let low = start
    let high = end
    while (to < starts.length && starts[to]! <= end + 1) {
      low = Math.min(low, starts[to]!)
      high = Math.max(high, ends[to]!)
      to++
    }
    if (to === from && starts.length >= this.#limit) {
      throw new IoreqError('ERR_NO_SPACE', `all ${this.#limit} ranges of this type are taken`)
    }
    starts.splice(from, to - from, low)
    ends.splice(from, to - from, high)
  }

  /**
   * Gives `start` … `end` up.
   *
   * @throws IoreqError `ERR_INVALID` for start > end, `ERR_NOT_FOUND` unless all of it is claimed, `ERR_NO_SPACE`
   * where a range would have to be split at the limit
   */
  remove(start: number, end: number): void {
    checkOrder(start, end)
    if (!this.contains(start, end)) {
      throw new IoreqError('ERR_NOT_FOUND', `range ${hex(start)}–${hex(end)} is not wholly claimed by the server`)
    }
    const starts = this.#starts
    const ends = this.#ends
    const at = this.#before(start)
    const low = starts[at]!
    const high = ends[at]!
    const rest: [number, number][] = []
    if (low < start) rest.push([low, start - 1])
    if (high > end) rest.push([end + 1, high])
    if (rest.length === 2 && starts.length >= this.#limit) {
      throw new IoreqError('ERR_NO_SPACE', `all ${this.#limit} ranges of this type are taken, none is left for a split`)
    }
    starts.splice(at, 1, ...rest.map((r) => r[0]))
    ends.splice(at, 1, ...rest.map((r) => r[1]))
  }

  /**
   * Claims these and nothing else; neighbours and overlaps are joined.
   *
   * @throws IoreqError `ERR_INVALID` or `ERR_NO_SPACE`, with what fitted claimed
   */
  replace(ranges: readonly (readonly [start: number, end: number])[]): void {
    this.clear()
    for (const [start, end] of ranges) {
      checkOrder(start, end)
      this.addUnion(start, end)
    }
  }

  /** Gives everything up. */
  clear(): void {
    this.#starts.length = 0
    this.#ends.length = 0
  }
}

function checkOrder(start: number, end: number): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || start > end) {
    throw new IoreqError('ERR_INVALID', `range ${start}–${end}: expected 0 ≤ start ≤ end, both exact integers`)
  }
}
