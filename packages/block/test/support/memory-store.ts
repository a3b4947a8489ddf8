import type { HttpFileState, RangeStore } from '../../src/index.ts'

/** Keeps chunks of 4 KiB in memory. */
export class MemoryStore implements RangeStore {
  readonly chunkBytes = 4096
  readonly chunks = new Map<number, Uint8Array>()
  kept: HttpFileState | null = null
  closed = 0

  use(state: HttpFileState): boolean {
    if (this.kept?.tag !== state.tag || this.kept.bytes !== state.bytes) this.chunks.clear()
    this.kept = state
    return true
  }

  read(index: number): Uint8Array | null {
    return this.chunks.get(index) ?? null
  }

  write(index: number, bytes: Uint8Array): void {
    this.chunks.set(index, bytes.slice())
  }

  close(): void {
    this.closed++
  }
}
