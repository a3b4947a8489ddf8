/** Cuts a stream of bytes into frames, which say at their beginning how long they are. */
export class FrameCutter {
  readonly #headerBytes: number
  readonly #lengthOf: (bytes: Uint8Array) => number
  /** Bytes that have not been handed over, and how many a frame that begins there lacks, so far as that is known. */
  #rest: Uint8Array = new Uint8Array(0)
  #missing = 0
  /** Bytes behind `#rest`: they are joined when the frame is complete. */
  #chunks: Uint8Array[] = []

  /**
   * @param headerBytes - bytes of a frame from which its length is known
   * @param lengthOf - the length of the frame that bytes begin with, header included; it throws for a length that no frame has
   */
  constructor(headerBytes: number, lengthOf: (bytes: Uint8Array) => number) {
    this.#headerBytes = headerBytes
    this.#lengthOf = lengthOf
  }

  /** Bytes that have been kept. */
  get rest(): Uint8Array {
    return this.#rest
  }

  /**
   * Takes the next bytes, and hands over the frames that they complete. Bytes of an incomplete frame are kept.
   *
   * @param onBytes - a frame, as a view of the bytes taken. Where it returns true, all that follows is kept. It may bring
   * further bytes itself, whose frames follow in order
   * @returns whether frames may be left, for the next call, which may bring no bytes
   */
  cut(chunk: Uint8Array, onBytes: (bytes: Uint8Array) => unknown): boolean {
    if (this.#missing > chunk.length) {
      this.#chunks.push(chunk)
      this.#missing -= chunk.length
      return false
    }
    this.#join(chunk)
    while (this.#missing === 0 && this.#rest.length >= this.#headerBytes) {
      const bytes = this.#rest
      const length = this.#lengthOf(bytes)
      this.#missing = Math.max(0, length - bytes.length)
      if (this.#missing > 0) break
      this.#rest = bytes.subarray(length)
      if (onBytes(bytes.subarray(0, length)) === true) return true
    }
    return false
  }

  #join(chunk: Uint8Array): void {
    const parts = [this.#rest, ...this.#chunks, chunk].filter(({ length }) => length > 0)
    this.#chunks = []
    this.#missing = 0
    if (parts.length <= 1) {
      this.#rest = parts[0] ?? chunk
      return
    }
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    this.#rest = bytes
  }
}
