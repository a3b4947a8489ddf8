/**
 * A recording in memory that is appended to and read, while its oldest parts are dropped, as reported by
 * `RecordingWriter.dropBefore`. The rest keeps its offsets.
 */
export class RecordingRing {
  /** Bytes that the recording may have, with its checkpoints. */
  readonly mostBytes: number
  #parts: Uint8Array<ArrayBuffer>[] = []
  /** End offset of each part in the recording as written. */
  #ends: number[] = []
  #bytes = 0
  /** Number of bytes written. */
  #end = 0

  /** @param mostBytes - most bytes of the recording, with its checkpoints */
  constructor(mostBytes: number) {
    this.mostBytes = mostBytes
  }

  /** Number of bytes left. */
  get bytes(): number {
    return this.#bytes
  }

  /** The parts that are left, in order. */
  get parts(): readonly Uint8Array<ArrayBuffer>[] {
    return this.#parts
  }

  /** Adds a part, whose bytes then belong to the recording: the `write` function of a `RecordingWriter`. */
  readonly write = (part: Uint8Array): void => {
    this.#parts.push(part as Uint8Array<ArrayBuffer>)
    this.#end += part.length
    this.#ends.push(this.#end)
    this.#bytes += part.length
  }

  /** Reads a range. @returns fewer bytes at the end, and where parts were dropped */
  readonly read = (offset: number, bytes: number): Uint8Array => {
    const into = new Uint8Array(Math.max(0, Math.min(bytes, this.#end - offset)))
    let done = 0
    for (let index = this.#partAt(offset); done < into.length; index++) {
      const part = this.#parts[index]
      const from = offset + done - ((this.#ends[index] ?? 0) - (part?.length ?? 0))
      if (part === undefined || from < 0) break
      const some = part.subarray(from, from + into.length - done)
      into.set(some, done)
      done += some.length
    }
    return into.subarray(0, done)
  }

  /** Drops the parts that lie between two offsets. */
  readonly drop = (from: number, to: number): void => {
    const first = this.#partAt(from)
    const end = this.#partAt(to)
    this.#ends.splice(first, end - first)
    for (const { length } of this.#parts.splice(first, end - first)) this.#bytes -= length
  }

  /** Returns the number of the part that contains a byte, or of the first one after it. */
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
