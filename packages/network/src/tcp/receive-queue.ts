import { type BufferBudget, StreamBuffer } from './buffer-budget.ts'

/** A run of bytes that arrived out of order. */
interface Run {
  from: number
  to: number
}

/** Most runs kept: the peer sends further ones again. */
const MOST_RUNS = 32
/** Most blocks, as the option has room for (RFC 2018 §3). */
const MOST_BLOCKS = 4

/** Received bytes, in order up to `next`, and runs beyond a gap. Positions count from the first byte. */
export class ReceiveQueue {
  readonly #buffer: StreamBuffer
  /** Sorted, apart, beyond `next`. */
  readonly #runs: Run[] = []
  #next = 0
  #read = 0
  /** The run that grew last; it is named first. */
  #latest = 0

  constructor(budget: BufferBudget) {
    this.#buffer = new StreamBuffer(budget)
  }

  /** Position that follows all bytes that came in order. */
  get next(): number {
    return this.#next
  }

  /** Bytes in order that were not read. */
  get readable(): number {
    return this.#next - this.#read
  }

  get capacity(): number {
    return this.#buffer.capacity
  }

  /** End of the available room. */
  get edge(): number {
    return this.#read + this.#buffer.capacity
  }

  /** Whether bytes are missing. */
  get hasGap(): boolean {
    return this.#runs.length > 0
  }

  /** Stores bytes at a position, as far as they are new and fit. @returns whether `next` has advanced */
  put(position: number, bytes: Uint8Array): boolean {
    const from = Math.max(position, this.#next)
    const to = Math.min(position + bytes.length, this.edge)
    if (from >= to) return false
    const part = bytes.subarray(from - position, to - position)
    if (from > this.#next) {
      if (this.#addRun(from, to)) this.#buffer.put(from, part)
      return false
    }
    this.#buffer.put(from, part)
    this.#next = to
    while (this.#runs.length > 0 && this.#runs[0]!.from <= this.#next) {
      this.#next = Math.max(this.#next, this.#runs.shift()!.to)
    }
    this.#buffer.maybeGrow(this.#read, this.#next)
    return true
  }

  /** Removes bytes in order. @returns at most `most`; null: none available */
  read(most: number): Uint8Array | null {
    const length = Math.min(most, this.readable)
    if (length === 0) return null
    const bytes = new Uint8Array(length)
    this.#buffer.copy(this.#read, length, bytes, 0)
    this.#read += length
    return bytes
  }

  /** The runs beyond the gap, the most recently grown one at the front (RFC 2018 §4). */
  blocks(): (readonly [number, number])[] {
    const latest = this.#runs.findIndex(({ from, to }) => from <= this.#latest && this.#latest < to)
    const [first] = latest < 0 ? [] : this.#runs.slice(latest, latest + 1)
    const rest = this.#runs.filter((run) => run !== first)
    return [...(first === undefined ? [] : [first]), ...rest].slice(0, MOST_BLOCKS).map(({ from, to }) => [from, to])
  }

  /** Gives the memory back. */
  close(): void {
    this.#runs.length = 0
    this.#read = this.#next
    this.#buffer.close()
  }

  /** @returns false if there are too many runs */
  #addRun(from: number, to: number): boolean {
    const at = this.#runs.findIndex((run) => run.to >= from)
    const index = at < 0 ? this.#runs.length : at
    let [first, last] = [from, to]
    let end = index
    for (; end < this.#runs.length && this.#runs[end]!.from <= to; end++) {
      first = Math.min(first, this.#runs[end]!.from)
      last = Math.max(last, this.#runs[end]!.to)
    }
    if (end === index && this.#runs.length === MOST_RUNS) return false
    this.#runs.splice(index, end - index, { from: first, to: last })
    this.#latest = from
    return true
  }
}
