import type { AccessRequest, Word64 } from '../access.ts'
import { badRead, checkedNumber, checkedVoid, checkWord64, isPromise, isWord, type AccessedRange } from './access.ts'

/** A range with its address. */
export interface PlacedRange extends AccessedRange {
  /** First port or guest-physical address. */
  readonly base: number
}

/** Finds the range at an address. */
export interface RangeSource<Range extends PlacedRange> {
  /** The range that answers at an address, or null. */
  regionAt(kind: 'port' | 'mmio', address: number): Range | null
}

/**
 * One access as the handler calls that make it, lowest address first.
 *
 * The access is split where it leaves a range and where it is larger than the range's largest call; a part that is
 * smaller than the range's smallest call is widened. Unclaimed bytes read as ones. One object serves successive
 * accesses without allocation.
 */
export class SplitAccess<Range extends PlacedRange = PlacedRange> implements Word64 {
  /** Low word of the data: to write, or read by the calls so far. */
  lo = 0
  /** High word of the value. */
  hi = 0
  /** The range of the present call. */
  range: Range | null = null
  /** Address at which the piece of the access begins that lies in this range. */
  pieceAt = 0
  /** Length of the piece, in bytes. */
  pieceBytes = 0
  /** Offset in the range, and size, of the present call. */
  #offset = 0
  #size: 1 | 2 | 4 | 8 = 1
  /** Bytes of the access that the present call covers, and the byte of the call at which they begin. */
  #covered = 0
  #skipped = 0
  /** Bytes of the access that lie before the present call. */
  #done = 0
  #source: RangeSource<Range> | null = null
  #kind: 'port' | 'mmio' = 'port'
  #address = 0
  #total = 0
  readonly #bytes = new Uint8Array(12)

  /** Begins an access of 1–8 bytes; `lo` and `hi` hold the data of a write. */
  begin(
    source: RangeSource<Range>,
    kind: 'port' | 'mmio',
    address: number,
    size: number,
    lo: number,
    hi: number,
  ): void {
    this.#source = source
    this.#kind = kind
    this.#address = address
    this.#total = size
    this.#done = 0
    this.#covered = 0
    this.range = null
    this.pieceAt = address
    this.pieceBytes = 0
    this.#put(0, 4, lo)
    this.#put(4, 4, hi)
  }

  /** Advances to the next call; false at the end, with the data in `lo` and `hi`. */
  next(): boolean {
    this.#done += this.#covered
    this.#covered = 0
    if (!this.#findPiece()) {
      this.#bytes.fill(0, this.#total)
      this.lo = this.#word(0)
      this.hi = this.#word(4)
      return false
    }
    const { maximumAccess, minimumAccess, base } = this.range!
    const at = this.#address + this.#done - base
    let size = Math.min(this.pieceAt + this.pieceBytes - base - at, maximumAccess)
    if (size === 3) size = 2
    else if (size > 4 && size < 8) size = 4
    this.#skipped = 0
    this.#covered = size
    if (size < minimumAccess) {
      this.#skipped = at % minimumAccess
      size = minimumAccess
      this.#covered = Math.min(this.#covered, size - this.#skipped)
    }
    this.#offset = at - this.#skipped
    this.#size = size as 1 | 2 | 4 | 8
    return true
  }

  /** Finds the range of the byte that comes next, unless it is that of the byte before. */
  #findPiece(): boolean {
    while (this.#done < this.#total) {
      const at = this.#address + this.#done
      if (at < this.pieceAt + this.pieceBytes) return true
      // Ranges may have changed since the access was sent.
      const range = this.#source!.regionAt(this.#kind, at)
      if (range === null) {
        this.#bytes[this.#done++] = 0xff
        continue
      }
      this.range = range
      this.pieceAt = at
      this.pieceBytes = Math.min(this.#total - this.#done, range.base + range.length - at)
    }
    return false
  }

  /** Abandons the rest of this range's part, which reads as ones. */
  fail(): void {
    const end = this.pieceAt + this.pieceBytes - this.#address
    this.#bytes.fill(0xff, this.pieceAt - this.#address, end)
    this.#done = end
    this.#covered = 0
  }

  /** Makes the present call, to a synchronous model; throws the model's own error, or DeviceError `ERR_DEVICE`. */
  call(read: boolean): void {
    const { handler } = this.range!
    const offset = this.#offset
    const size = this.#size
    if (size === 8) {
      if (!read) return checkedVoid(handler.write64!(offset, this.#word(0), this.#word(4)))
      checkedVoid(handler.read64!(offset, this))
      this.#take64()
    } else if (read) this.#take(checkedNumber(handler.read(offset, size)))
    else {
      const present = this.#covered < size ? checkedNumber(handler.read(offset, size)) : 0
      checkedVoid(handler.write(offset, size, this.#merge(present)))
    }
  }

  /** Makes the present call to a model with asynchronous handlers. */
  async callLater(read: boolean, request: AccessRequest): Promise<void> {
    const { handler } = this.range!
    const offset = this.#offset
    const size = this.#size
    if (size === 8) {
      if (read) {
        await handler.read64!(offset, this, request)
        this.#take64()
      } else await handler.write64!(offset, this.#word(0), this.#word(4), request)
    } else if (read) this.#take(await this.#readLater(request))
    else {
      const present = this.#covered < size ? await this.#readLater(request) : 0
      await handler.write(offset, size, this.#merge(present), request)
    }
  }

  async #readLater(request: AccessRequest): Promise<number> {
    const answer = this.range!.handler.read(this.#offset, this.#size as 1 | 2 | 4, request)
    const value: unknown = isPromise(answer) ? await answer : answer
    if (isWord(value)) return value
    throw badRead(value)
  }

  #take(value: number): void {
    this.#put(this.#done, this.#covered, value >>> (8 * this.#skipped))
  }

  #take64(): void {
    checkWord64(this)
    this.#put(0, 4, this.lo)
    this.#put(4, 4, this.hi)
  }

  /** Returns the value that the present call writes: the access's bytes, merged into the unit of a widened call. */
  #merge(present: number): number {
    const value = this.#word(this.#done)
    if (this.#covered === 4) return value
    const shift = 8 * this.#skipped
    const mask = ((1 << (8 * this.#covered)) - 1) << shift
    return ((present & ~mask) | ((value << shift) & mask)) >>> 0
  }

  #put(at: number, count: number, value: number): void {
    for (let i = 0; i < count; i++) this.#bytes[at + i] = value >>> (8 * i)
  }

  #word(at: number): number {
    const bytes = this.#bytes
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }
}
