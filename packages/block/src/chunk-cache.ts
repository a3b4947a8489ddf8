/** The source that a {@link ChunkCache} reads from. */
export interface ChunkSource {
  /** Size of the source. */
  readonly bytes: number
  /** Unit of the cache. */
  readonly chunkBytes: number
  /** Memory for chunks. */
  readonly cacheBytes: number
  /** Reads a range of whole chunks, the last one of which may be short. */
  load(offset: number, length: number): Promise<Uint8Array>
}

/** Most bytes of adjacent missing chunks that are loaded together. */
const MOST_AT_A_TIME = 1 << 20

/** Caches chunks that are slow to read. The least recently used chunk is evicted first. */
export class ChunkCache {
  readonly #source: ChunkSource
  readonly #most: number
  /** Least recently used first. */
  readonly #chunks = new Map<number, Uint8Array>()
  readonly #loading = new Map<number, Promise<Uint8Array>>()

  constructor(source: ChunkSource) {
    this.#source = source
    this.#most = Math.floor(source.cacheBytes / source.chunkBytes)
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    if (into.length === 0) return
    const { chunkBytes } = this.#source
    const first = Math.floor(offset / chunkBytes)
    const last = Math.floor((offset + into.length - 1) / chunkBytes)
    const chunks = Array.from({ length: last - first + 1 }, (_, i) => this.#get(first + i, last))
    for (const [i, chunk] of chunks.entries()) {
      const start = (first + i) * chunkBytes
      const from = Math.max(offset, start)
      const bytes = await chunk
      const to = Math.min(offset + into.length, start + bytes.length)
      into.set(bytes.subarray(from - start, to - start), from - offset)
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#chunks.clear()
    this.#loading.clear()
  }

  /** Returns a chunk; a missing one is loaded together with the missing chunks after it, up to `last`. */
  #get(index: number, last: number): Promise<Uint8Array> {
    const kept = this.#chunks.get(index)
    if (kept !== undefined) {
      this.#keep(index, kept)
      return Promise.resolve(kept)
    }
    const under = this.#loading.get(index)
    if (under !== undefined) return under
    const { bytes, chunkBytes } = this.#source
    let count = 1
    const isMissing = (other: number): boolean => !this.#chunks.has(other) && !this.#loading.has(other)
    while (index + count <= last && (count + 1) * chunkBytes <= MOST_AT_A_TIME && isMissing(index + count)) count++
    const offset = index * chunkBytes
    const loaded = this.#source.load(offset, Math.min(count * chunkBytes, bytes - offset))
    for (let i = 0; i < count; i++) {
      const chunk = loaded.then((content) => content.subarray(i * chunkBytes, (i + 1) * chunkBytes))
      this.#loading.set(index + i, chunk)
      chunk.then(
        (content) => {
          if (this.#loading.get(index + i) !== chunk) return
          this.#loading.delete(index + i)
          // Copied, because a view would keep the whole load in memory.
          this.#keep(index + i, count === 1 ? content : content.slice())
        },
        () => {
          if (this.#loading.get(index + i) === chunk) this.#loading.delete(index + i)
        },
      )
    }
    return this.#loading.get(index)!
  }

  #keep(index: number, content: Uint8Array): void {
    this.#chunks.delete(index)
    if (this.#most === 0) return
    this.#chunks.set(index, content)
    if (this.#chunks.size > this.#most)
      for (const oldest of this.#chunks.keys()) return void this.#chunks.delete(oldest)
  }
}
