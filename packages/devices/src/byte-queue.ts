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

  /** Takes the oldest item; −1 if there is none. */
  shift(): number {
    if (this.#count === 0) return -1
    const item = this.#items[this.#first]!
    this.#first = (this.#first + 1) % this.#items.length
    this.#count--
    return item
  }

  /** The item `index` places behind the oldest; −1 if there is none. */
  at(index: number): number {
    return index < this.#count ? this.#items[(this.#first + index) % this.#items.length]! : -1
  }

  clear(): void {
    this.#first = 0
    this.#count = 0
  }

  /** Takes over what `toArray` returned. */
  fill(items: readonly number[]): void {
    this.clear()
    for (const item of items) this.push(item)
  }

  toArray(): number[] {
    return Array.from({ length: this.#count }, (_, i) => this.at(i))
  }
}
