/** Memory that the buffers of all connections may take beyond their first pieces. */
export class BufferBudget {
  #free: number

  constructor(bytes: number) {
    this.#free = bytes
  }

  /** @returns false where this much is not left: nothing was taken */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false
    this.#free -= bytes
    return true
  }

  give(bytes: number): void {
    this.#free += bytes
  }
}

/** Size that every buffer may have, regardless of the others. */
export const FIRST_BUFFER: number = 32 << 10
const LARGEST_BUFFER = 512 << 10

/** Bytes of a stream between two positions, in a ring that grows with the throughput. */
export class StreamBuffer {
  readonly #budget: BufferBudget
  /** Empty until the first byte: most connections of a guest that scans ports never have one. */
  #bytes: Uint8Array = new Uint8Array(0)
  #capacity = FIRST_BUFFER
  /** Position that has to be reached before the next growth. */
  #growsAt: number = 2 * FIRST_BUFFER

  constructor(budget: BufferBudget) {
    this.#budget = budget
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Doubles the capacity if enough bytes have passed to justify it. @param from - the first position to keep */
  maybeGrow(from: number, to: number): void {
    if (to < this.#growsAt || this.#capacity === LARGEST_BUFFER || !this.#budget.take(this.#capacity)) return
    const before = this.#bytes
    const mask = before.length - 1
    this.#capacity *= 2
    this.#growsAt = to + 2 * this.#capacity
    this.#bytes = new Uint8Array(this.#capacity)
    // Copy the whole ring, whose bytes may lie anywhere from `from` on, with gaps.
    for (let at = from; at < from + before.length;) {
      const piece = Math.min(before.length - (at & mask), from + before.length - at)
      this.put(at, before.subarray(at & mask, (at & mask) + piece))
      at += piece
    }
  }

  /** Puts bytes at a position. The caller has checked that they lie within the capacity. */
  put(position: number, bytes: Uint8Array): void {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#capacity)
    const at = position % this.#capacity
    const first = Math.min(bytes.length, this.#capacity - at)
    this.#bytes.set(bytes.subarray(0, first), at)
    if (first < bytes.length) this.#bytes.set(bytes.subarray(first), 0)
  }

  /** Copies bytes out, to `into` from `at` on. */
  copy(position: number, length: number, into: Uint8Array, at: number): void {
    const from = position % this.#capacity
    const first = Math.min(length, this.#capacity - from)
    into.set(this.#bytes.subarray(from, from + first), at)
    if (first < length) into.set(this.#bytes.subarray(0, length - first), at + first)
  }

  /** Gives the memory back. */
  close(): void {
    this.#budget.give(this.#capacity - FIRST_BUFFER)
    this.#bytes = new Uint8Array(0)
    this.#capacity = FIRST_BUFFER
    this.#growsAt = Infinity
  }
}
