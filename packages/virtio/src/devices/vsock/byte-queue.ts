/** Bytes in order, in one buffer: a guest may send them singly. */
export class ByteQueue {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #start = 0
  #length = 0

  /** Bytes in the queue. */
  get length(): number {
    return this.#length
  }

  /** Puts a copy of bytes at the end. */
  push(bytes: Uint8Array): void {
    const end = this.#start + this.#length + bytes.length
    if (end > this.#bytes.length) {
      const length = this.#length + bytes.length
      // Half of the buffer stays free, so that bytes are seldom moved.
      const larger = length > this.#bytes.length / 2 ? new Uint8Array(2 * length) : this.#bytes
      larger.set(this.#bytes.subarray(this.#start, this.#start + this.#length))
      this.#bytes = larger
      this.#start = 0
    }
    this.#bytes.set(bytes, this.#start + this.#length)
    this.#length += bytes.length
  }

  /** Removes and returns a copy of at most `most` bytes from the beginning. */
  shift(most: number): Uint8Array<ArrayBuffer> {
    const count = Math.min(most, this.#length)
    const part = this.#bytes.slice(this.#start, this.#start + count)
    this.#start += count
    this.#length -= count
    if (this.#length === 0) this.clear()
    return part
  }

  /** Empties the queue, and frees its memory. */
  clear(): void {
    this.#bytes = new Uint8Array(0)
    this.#start = 0
    this.#length = 0
  }
}
