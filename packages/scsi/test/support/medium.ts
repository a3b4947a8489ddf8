import type { BlockBackend, BlockProperties } from '@retrap/device'

/** The properties of a medium, and a way to change them. No test here moves data. */
export class Medium implements BlockBackend {
  properties: BlockProperties
  #changed: () => void = () => {}

  constructor(bytes: number, given: Partial<BlockProperties> = {}) {
    this.properties = {
      bytes,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      maximumBytes: 1 << 16,
      readOnly: false,
      discards: true,
      ...given,
    }
  }

  change(given: Partial<BlockProperties>): void {
    this.properties = { ...this.properties, ...given }
    this.#changed()
  }

  onChange(listener: () => void): () => void {
    this.#changed = listener
    return () => {}
  }

  read = (): Promise<void> => Promise.resolve()
  write = (): Promise<void> => Promise.resolve()
  flush = (): Promise<void> => Promise.resolve()
  discard = (): Promise<void> => Promise.resolve()
  writeZeroes = (): Promise<void> => Promise.resolve()
}
