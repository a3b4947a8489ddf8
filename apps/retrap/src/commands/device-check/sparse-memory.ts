const PAGE_BYTES = 4096
/** 16 MiB: a device may write to any address, and this process keeps the pages. */
const MOST_PAGES = 4096

/** Memory of an imaginary machine: all bytes are 0 until they are written. */
export class SparseMemory {
  readonly #pages = new Map<number, Uint8Array>()

  read(address: number, into: Uint8Array): void {
    this.#each(address, into.length, (page, from, at, count) => {
      const bytes = this.#pages.get(page)
      if (bytes === undefined) into.fill(0, at, at + count)
      else into.set(bytes.subarray(from, from + count), at)
    })
  }

  /** Writes bytes. Pages beyond the limit stay 0. */
  write(address: number, bytes: Uint8Array): void {
    this.#each(address, bytes.length, (page, from, at, count) => {
      let kept = this.#pages.get(page)
      if (kept === undefined) {
        if (this.#pages.size >= MOST_PAGES) return
        this.#pages.set(page, (kept = new Uint8Array(PAGE_BYTES)))
      }
      kept.set(bytes.subarray(at, at + count), from)
    })
  }

  #each(address: number, length: number, take: (page: number, from: number, at: number, count: number) => void): void {
    for (let at = 0; at < length;) {
      const from = (address + at) % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - from, length - at)
      take(Math.floor((address + at) / PAGE_BYTES), from, at, count)
      at += count
    }
  }
}
