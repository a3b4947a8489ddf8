/** A file in memory that is written from its beginning to its end, and read again. */
export class WrittenFile {
  readonly #parts: Uint8Array<ArrayBuffer>[] = []
  /** Where each part ends. */
  readonly #ends: number[] = []

  /** Length of the file. */
  get bytes(): number {
    return this.#ends.at(-1) ?? 0
  }

  /** Adds a part, whose bytes are the file's from then on. */
  write(part: Uint8Array): void {
    this.#parts.push(part as Uint8Array<ArrayBuffer>)
    this.#ends.push(this.bytes + part.length)
  }

  /** @returns fewer bytes where the file ends */
  read(offset: number, bytes: number): Uint8Array {
    const into = new Uint8Array(Math.max(0, Math.min(bytes, this.bytes - offset)))
    let index = this.#partAt(offset)
    for (let done = 0; done < into.length; index++) {
      const part = this.#parts[index]!
      const from = offset + done - (this.#ends[index]! - part.length)
      const some = part.subarray(from, from + into.length - done)
      into.set(some, done)
      done += some.length
    }
    return into
  }

  /** All of it, with an end that it does not get itself. */
  blob(end: readonly Uint8Array<ArrayBuffer>[]): Blob {
    return new Blob([...this.#parts, ...end], { type: 'application/octet-stream' })
  }

  /** @returns the number of the part that has a byte */
  #partAt(offset: number): number {
    let [low, high] = [0, this.#ends.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ends[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
