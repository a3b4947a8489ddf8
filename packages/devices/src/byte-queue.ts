/** A first-in-first-out queue of bytes (or other u16 values) without a limit; storage doubles as needed. */
export class ByteQueue {
  #items = new Uint16Array(64)
  #first = 0
  #count = 0

  get length(): number {
    return this.#count
  }

  push(item: number): void {
    if (this.#count === this.#items.length) {
      const bigger = new Uint16Array(2 * this.#items.length)
      for (let i = 0; i < this.#count; i++) bigger[i] = this.#items[(this.#first + i) % this.#items.length]!
      this.#items = bigger
      this.#first = 0
    }
    this.#items[(this.#first + this.#count++) % this.#items.length] = item
  }

  /** Removes the oldest item; −1 if the queue is empty. */
  shift(): number {
    if (this.#count === 0) return -1
    const item = this.#items[this.#first]!
    this.#first = (this.#first + 1) % this.#items.length
    this.#count--
    return item
  }

  /** Returns the item `index` places after the oldest; −1 if absent. */
  at(index: number): number {
    return index < this.#count ? this.#items[(this.#first + index) % this.#items.length]! : -1
  }

  reset(): void {
    this.#first = 0
    this.#count = 0
  }

  /** Takes over a saved state. */
  restore(items: readonly number[]): void {
    this.reset()
    for (const item of items) this.push(item)
  }

  save(): number[] {
    return Array.from({ length: this.#count }, (_, i) => this.at(i))
  }
}

/** Characters of a stream that wait outside the FIFO before the stream has to. */
const MAX_WAITING = 256

/** Characters that the far end of a serial line has sent, and for which the receiver's FIFO has no room yet. */
export class WaitingCharacters extends ByteQueue {
  /** The stream was offered less room than it wanted. */
  #short = false

  /** Takes as many bytes of a stream as fit. @returns how many */
  offer(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, Math.max(0, MAX_WAITING - this.length))
    this.#short = taken < bytes.length
    for (const byte of bytes.subarray(0, taken)) this.push(byte)
    return taken
  }

  /** Whether to notify the stream of room: once, when the queue has become empty. */
  hasNewRoom(): boolean {
    if (!this.#short || this.length > 0) return false
    this.#short = false
    return true
  }
}
