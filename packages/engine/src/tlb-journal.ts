import { FLAG_SIZE, SIZE_4M } from './tlb-entry.ts'

/** The TLB entries that may be valid, global ones or all others, so that a flush costs what was filled. */
export class TlbJournal {
  /** Addresses of the entries, each once. */
  readonly entries: Uint32Array
  /** Count of the entries. */
  count = 0
  /** Linear 4 MiB regions of which there may be fragments of large pages. */
  readonly #large = new Set<number>()
  /** Linear 1 GiB regions of which there may be fragments of larger pages. */
  readonly #huge = new Set<number>()

  /** @param most - entries that there are */
  constructor(most: number) {
    this.entries = new Uint32Array(most)
  }

  /** Adds an entry. */
  add(entry: number): void {
    this.entries[this.count++] = entry
  }

  /** Notes that an entry is a fragment of a large page. */
  noteLarge(lo: number, hi: number, flags: number): void {
    if ((flags & FLAG_SIZE) > SIZE_4M) this.#huge.add(hi * 4 + (lo >>> 30))
    else this.#large.add(hi * 0x400 + (lo >>> 22))
  }

  /** Returns whether there may be fragments of a large page that a linear address belongs to. */
  mayHaveFragments(lo: number, hi: number): boolean {
    return this.#large.has(hi * 0x400 + (lo >>> 22)) || this.#huge.has(hi * 4 + (lo >>> 30))
  }

  /** Forgets all entries. */
  clear(): void {
    this.count = 0
    // To clear a set allocates, and these are nearly always empty.
    if (this.#large.size !== 0) this.#large.clear()
    if (this.#huge.size !== 0) this.#huge.clear()
  }
}
