import type { AccessSize, MemoryMode, OwnedMemory, OwnedMemoryOptions, SynchronousRangeHandler } from '@retrap/device'

const PAGE = 4096

/** Memory of a model, with a log of its own. */
export class FakeMemory implements OwnedMemory {
  readonly name: string
  readonly bytes: number
  readonly mode: MemoryMode = 'memory'
  readonly view: Uint8Array
  #dirty: Set<number> | null = null

  constructor({ name, bytes, contents }: OwnedMemoryOptions) {
    this.name = name
    this.bytes = bytes
    this.view = new Uint8Array(bytes)
    if (contents !== undefined) this.view.set(contents)
  }

  /** Whether writes are logged. */
  get logged(): boolean {
    return this.#dirty !== null
  }

  /** How a guest reaches it, from an offset on. */
  guest(from: number): SynchronousRangeHandler {
    return {
      read: (offset: number, size: AccessSize): number => {
        let value = 0
        for (let i = 0; i < size; i++) value += this.view[from + offset + i]! * 2 ** (8 * i)
        return value
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        for (let i = 0; i < size; i++) this.view[from + offset + i] = value >>> (8 * i)
        this.modified(from + offset, size)
      },
    }
  }

  setMode(): never {
    throw new Error('no model of a PC uses it')
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.view.subarray(offset, offset + into.length))
  }

  write(offset: number, from: Uint8Array): void {
    this.view.set(from, offset)
    this.modified(offset, from.length)
  }

  modified(offset: number, bytes: number): void {
    for (let page = Math.floor(offset / PAGE); page * PAGE < offset + bytes; page++) this.#dirty?.add(page)
  }

  async readAsync(offset: number, into: Uint8Array): Promise<void> {
    this.read(offset, into)
  }

  async writeAsync(offset: number, from: Uint8Array): Promise<void> {
    this.write(offset, from)
  }

  logWrites(on: boolean): void {
    this.#dirty = on ? new Set() : null
  }

  takeDirty(offset: number, bytes: number, into: Uint32Array): number {
    if (this.#dirty === null) throw new Error('writes are not logged')
    const pages = Math.ceil(bytes / PAGE)
    into.fill(0, 0, Math.ceil(pages / 32))
    let count = 0
    for (let page = 0; page < pages; page++) {
      if (!this.#dirty.delete(offset / PAGE + page)) continue
      into[page >>> 5]! |= 1 << (page & 31)
      count++
    }
    return count
  }

  async takeDirtyAsync(offset: number, bytes: number, into: Uint32Array): Promise<number> {
    return this.takeDirty(offset, bytes, into)
  }
}
