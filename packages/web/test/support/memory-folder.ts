import type { RangeFile } from '../../src/worker/kept-ranges.ts'

/** A file of the browser's, in memory. */
export class MemoryFile implements RangeFile {
  bytes = new Uint8Array()
  /** Somebody has its handle. */
  isOpen = false
  /** Bytes that it may have. */
  quota = Number.POSITIVE_INFINITY

  read(into: Uint8Array, { at }: { readonly at: number }): number {
    const found = this.bytes.subarray(at, at + into.length)
    into.set(found)
    return found.length
  }

  write(from: Uint8Array, { at }: { readonly at: number }): number {
    if (at + from.length > this.quota) throw new DOMException('no room', 'QuotaExceededError')
    if (at + from.length > this.bytes.length) {
      const larger = new Uint8Array(at + from.length)
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.bytes.set(from, at)
    return from.length
  }

  truncate(bytes: number): void {
    this.bytes = this.bytes.slice(0, bytes)
  }

  flush(): void {}

  getSize(): number {
    return this.bytes.length
  }

  close(): void {
    this.isOpen = false
  }
}

/** A browser's private file system with one folder, in memory; with the room that it gives the site. */
export class MemoryFolder {
  readonly files = new Map<string, MemoryFile>()
  /** What `navigator.storage` is. */
  readonly storage: unknown

  constructor(quota: number) {
    const folder = {
      getDirectoryHandle: async () => folder,
      getFileHandle: async (name: string) => {
        const file = this.files.get(name) ?? new MemoryFile()
        this.files.set(name, file)
        return { createSyncAccessHandle: async () => this.#handleOf(file) }
      },
    }
    const usage = (): number => [...this.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0)
    this.storage = { getDirectory: async () => folder, estimate: async () => ({ quota, usage: usage() }) }
  }

  /** How many files somebody has. */
  get open(): number {
    return [...this.files.values()].reduce((sum, { isOpen }) => sum + (isOpen ? 1 : 0), 0)
  }

  #handleOf(file: MemoryFile): MemoryFile {
    if (file.isOpen) throw new DOMException('taken', 'NoModificationAllowedError')
    file.isOpen = true
    return file
  }
}
