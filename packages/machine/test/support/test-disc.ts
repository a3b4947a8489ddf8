import { type BlockBackend, BlockError, type BlockProperties } from '@retrap/device'

/** A disc in memory, whose answers a test can hold back. */
export class TestDisc implements BlockBackend {
  properties: BlockProperties
  /** Requests wait until they are let go. */
  hold = false
  readonly #fill: number
  readonly #listeners = new Set<() => void>()
  readonly #held: (() => void)[] = []

  /** @param fill - all that it holds */
  constructor(fill: number, bytes: number, blockBytes = 512) {
    this.#fill = fill
    this.properties = {
      bytes,
      blockBytes,
      physicalBlockBytes: blockBytes,
      maximumBytes: 1 << 16,
      readOnly: true,
      discards: false,
    }
  }

  /** Becomes larger or smaller. */
  resize(bytes: number): void {
    this.properties = { ...this.properties, bytes }
    for (const listener of this.#listeners) listener()
  }

  release(): void {
    for (const go of this.#held.splice(0)) go()
  }

  async read(_offset: number, into: Uint8Array): Promise<void> {
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve))
    into.fill(this.#fill)
  }

  write(): Promise<void> {
    return Promise.reject(new BlockError('ERR_READ_ONLY', 'a test reads it'))
  }

  async flush(): Promise<void> {}

  discard(): Promise<void> {
    return this.write()
  }

  writeZeroes(): Promise<void> {
    return this.write()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
