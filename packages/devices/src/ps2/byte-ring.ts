/** A first-in-first-out queue of a fixed number of bytes. */
export class ByteRing {
  readonly #bytes: Uint8Array
  #first = 0
  #count = 0

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#count
  }

  get room(): number {
    return this.#bytes.length - this.#count
  }

  /** Appends a byte. @returns false if there is no room */
  push(byte: number): boolean {
    if (this.room === 0) return false
    this.#bytes[(this.#first + this.#count++) % this.#bytes.length] = byte
    return true
  }

  /** Takes the oldest byte; −1: there is none. */
  shift(): number {
    if (this.#count === 0) return -1
    const byte = this.#bytes[this.#first]!
    this.#first = (this.#first + 1) % this.#bytes.length
    this.#count--
    return byte
  }

  clear(): void {
    this.#first = 0
    this.#count = 0
  }

  /** Takes over what `toArray` returned; what does not fit is dropped. */
  fill(bytes: readonly number[]): void {
    this.clear()
    for (const byte of bytes) this.push(byte)
  }

  toArray(): number[] {
    return Array.from({ length: this.#count }, (_, i) => this.#bytes[(this.#first + i) % this.#bytes.length]!)
  }
}
