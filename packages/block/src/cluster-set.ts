/** Clusters of a page: 4 KiB of memory. */
const PAGE_CLUSTERS = 32_768

/** A set of clusters that takes one bit for each. */
export class ClusterSet {
  readonly #pages = new Map<number, Uint32Array>()

  has(cluster: number): boolean {
    const bit = cluster % PAGE_CLUSTERS
    const word = this.#pages.get(Math.floor(cluster / PAGE_CLUSTERS))?.[bit >>> 5] ?? 0
    return ((word >>> (bit & 31)) & 1) === 1
  }

  add(cluster: number): void {
    const key = Math.floor(cluster / PAGE_CLUSTERS)
    const bit = cluster % PAGE_CLUSTERS
    let page = this.#pages.get(key)
    if (page === undefined) this.#pages.set(key, (page = new Uint32Array(PAGE_CLUSTERS / 32)))
    page[bit >>> 5]! |= 1 << (bit & 31)
  }

  /** @returns whether it was there */
  delete(cluster: number): boolean {
    const found = this.has(cluster)
    const bit = cluster % PAGE_CLUSTERS
    if (found) this.#pages.get(Math.floor(cluster / PAGE_CLUSTERS))![bit >>> 5]! &= ~(1 << (bit & 31))
    return found
  }

  /** All of them, from low to high. */
  list(): number[] {
    const found: number[] = []
    for (const [key, page] of [...this.#pages].toSorted(([a], [b]) => a - b)) {
      for (const [index, word] of page.entries()) {
        for (let bits = word; bits !== 0; bits &= bits - 1)
          found.push(key * PAGE_CLUSTERS + index * 32 + 31 - Math.clz32(bits & -bits))
      }
    }
    return found
  }

  clear(): void {
    this.#pages.clear()
  }
}
