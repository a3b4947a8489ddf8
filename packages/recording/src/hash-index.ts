/** Finds pages by their hashes of four words. A page's number and hash stay constant until it is removed. */
export class HashIndex {
  /** Hash of each page. */
  #hashes = new Uint32Array(4 * 1024)
  /** Open-addressing table of pages by hash: their numbers plus one; 0: empty. */
  #table = new Uint32Array(4096)
  #used = 0

  /** Returns the page with a hash; −1: none. */
  find(hash: Uint32Array): number {
    const mask = this.#table.length - 1
    for (let at = hash[0]! & mask; ; at = (at + 1) & mask) {
      const page = this.#table[at]! - 1
      if (page < 0) return -1
      const from = 4 * page
      const hashes = this.#hashes
      if (hashes[from] !== hash[0] || hashes[from + 1] !== hash[1]) continue
      if (hashes[from + 2] === hash[2] && hashes[from + 3] === hash[3]) return page
    }
  }

  /** Enters a page under a new hash. */
  enter(page: number, hash: Uint32Array): void {
    while (4 * page >= this.#hashes.length) this.#hashes = longer(this.#hashes)
    this.#hashes.set(hash, 4 * page)
    if (2 * ++this.#used > this.#table.length) {
      const pages = this.#table.filter((entry) => entry !== 0)
      this.#table = new Uint32Array(2 * this.#table.length)
      for (const entry of pages) this.#insert(entry - 1)
    }
    this.#insert(page)
  }

  #insert(page: number): void {
    const mask = this.#table.length - 1
    let at = this.#hashes[4 * page]! & mask
    while (this.#table[at] !== 0) at = (at + 1) & mask
    this.#table[at] = page + 1
  }

  /** Takes a page out, and moves pages behind it up that would not be found any more. */
  forget(page: number): void {
    const table = this.#table
    const mask = table.length - 1
    let hole = this.#hashes[4 * page]! & mask
    while (table[hole] !== page + 1) hole = (hole + 1) & mask
    for (let at = (hole + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const wanted = this.#hashes[4 * (table[at]! - 1)]! & mask
      // The entry may be at the hole if that is not before its own place.
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue
      table[hole] = table[at]!
      hole = at
    }
    table[hole] = 0
    this.#used--
  }
}

/** An array of twice the length that begins with the words of another. */
export function longer(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const found = new Uint32Array(2 * array.length)
  found.set(array)
  return found
}
