/*
 * Words of the header, in front of the data. The counters run modulo 2^32; the bytes between them have been written and
 * not read. Each is stored by one side only, after the bytes that it stands for.
 */
const WRITTEN = 0
const READ = 1
/** The writer has more than there was room for: the reader rings when it has made some. */
const STARVED = 2
const HEADER_BYTES = 64

/** Bytes that a {@link SharedStream} with room for `capacity` takes. */
export function sharedStreamBytes(capacity: number): number {
  return HEADER_BYTES + capacity
}

/** A pipe of bytes from one thread to another, in shared memory: one writer, one reader, no copies in between. */
export class SharedStream {
  readonly #words: Int32Array
  readonly #data: Uint8Array
  readonly #capacity: number

  /** @param capacity - bytes, a power of two */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.#words = new Int32Array(buffer, byteOffset, HEADER_BYTES / 4)
    this.#data = new Uint8Array(buffer, byteOffset + HEADER_BYTES, capacity)
    this.#capacity = capacity
  }

  /** Writes as much as there is room for; returns how much. If that is not all, the reader will ring. */
  write(bytes: Uint8Array): number {
    let done = this.#put(bytes)
    if (done < bytes.length) {
      Atomics.store(this.#words, STARVED, 1)
      // The reader may have made room before it could see that we want it.
      done += this.#put(bytes.subarray(done))
    }
    return done
  }

  #put(bytes: Uint8Array): number {
    const written = Atomics.load(this.#words, WRITTEN)
    const used = (written - Atomics.load(this.#words, READ)) >>> 0
    // The other side may have corrupted the counters: never write over bytes that it has not read.
    const count = Math.min(bytes.length, Math.max(0, this.#capacity - used))
    const at = written & (this.#capacity - 1)
    const first = Math.min(count, this.#capacity - at)
    this.#data.set(bytes.subarray(0, first), at)
    this.#data.set(bytes.subarray(first, count), 0)
    Atomics.store(this.#words, WRITTEN, (written + count) | 0)
    return count
  }

  /** Whether unread bytes exist. */
  get readable(): boolean {
    return Atomics.load(this.#words, WRITTEN) !== Atomics.load(this.#words, READ)
  }

  /** Takes all unread bytes; null if there are none. */
  read(): Uint8Array | null {
    const read = Atomics.load(this.#words, READ)
    const count = Math.min((Atomics.load(this.#words, WRITTEN) - read) >>> 0, this.#capacity)
    if (count === 0) return null
    const bytes = new Uint8Array(count)
    const at = read & (this.#capacity - 1)
    const first = Math.min(count, this.#capacity - at)
    bytes.set(this.#data.subarray(at, at + first))
    bytes.set(this.#data.subarray(0, count - first), first)
    Atomics.store(this.#words, READ, (read + count) | 0)
    return bytes
  }

  /** After reading: whether the writer waits for room. Asking clears it. */
  takeStarved(): boolean {
    return Atomics.exchange(this.#words, STARVED, 0) !== 0
  }
}
