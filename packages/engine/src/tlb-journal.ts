import { FLAG_SIZE, SIZE_4M } from './tlb-layout.ts'

/** Most regions remembered, of each size. A guest may use any number between two flushes, and a `Set` holds 2^24 at most. */
const MOST_REGIONS = 0x4000

/** Entries that a journal has room for at first: most machines that are made by the hundred execute little. */
const FIRST_ENTRIES = 512

/** The possibly valid TLB entries, either global ones or all others, so that a flush costs as much as the fills. */
export class TlbJournal {
  /** Addresses of the entries, each once, with room for more. */
  entries: Uint32Array
  /** Count of the entries. */
  count = 0
  /** Linear 4 MiB regions that may contain fragments of large pages. */
  readonly #large = new Regions()
  /** Linear 1 GiB regions that may contain fragments of larger pages. */
  readonly #huge = new Regions()

  readonly #most: number

  /** @param most - number of TLB entries */
  constructor(most: number) {
    this.#most = most
    this.entries = new Uint32Array(Math.min(most, FIRST_ENTRIES))
  }

  /** Makes room for `count` entries. */
  reserve(count: number): void {
    if (count <= this.entries.length) return
    const larger = new Uint32Array(Math.min(this.#most, Math.max(count, 2 * this.entries.length)))
    larger.set(this.entries)
    this.entries = larger
  }

  add(entry: number): void {
    if (this.count === this.entries.length) this.reserve(this.count + 1)
    this.entries[this.count++] = entry
  }

  /** Notes that an entry is a fragment of a large page. */
  noteLarge(lo: number, hi: number, flags: number): void {
    if ((flags & FLAG_SIZE) > SIZE_4M) this.#huge.add(hi * 4 + (lo >>> 30))
    else this.#large.add(hi * 0x400 + (lo >>> 22))
  }

  /** Returns whether there may be fragments of a large page that a linear address belongs to. */
  mayHaveFragments(lo: number, hi: number): boolean {
    return this.#large.mayHave(hi * 0x400 + (lo >>> 22)) || this.#huge.mayHave(hi * 4 + (lo >>> 30))
  }

  /** Forgets all entries. */
  clear(): void {
    this.count = 0
    this.#large.clear()
    this.#huge.clear()
  }
}

/** A set of region numbers; it stands for all regions if there are too many. */
class Regions {
  readonly #some = new Set<number>()

  add(region: number): void {
    if (this.#some.size < MOST_REGIONS) this.#some.add(region)
  }

  mayHave(region: number): boolean {
    return this.#some.size >= MOST_REGIONS || this.#some.has(region)
  }

  clear(): void {
    // Clearing a set allocates, and these sets are nearly always empty.
    if (this.#some.size !== 0) this.#some.clear()
  }
}
