import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { FrameKind } from './guest-map.ts'
import type { WritableSegment } from './mapping.ts'

interface SegmentParts {
  readonly kind: FrameKind
  readonly gpa: number
  /** Offset of the segment in the mapping. */
  readonly offset: number
  readonly length: number
  /** Machine address; −1: none. */
  readonly ma: number
  /** The holder gets a copy instead of the bytes themselves. */
  readonly copied: boolean
}

/** A part of a held mapping. */
export class HeldSegment implements WritableSegment {
  readonly kind: FrameKind
  readonly gpa: number
  readonly offset: number
  readonly length: number
  readonly bytes: Uint8Array | null
  /** Machine address; −1: none. */
  readonly ma: number
  /** The original bytes of the holder's copy, if it has a copy. */
  readonly #original: Uint8Array | null

  constructor(memory: MachineMemory, { kind, gpa, offset, length, ma, copied }: SegmentParts) {
    this.kind = kind
    this.gpa = gpa
    this.offset = offset
    this.length = length
    this.ma = ma
    this.bytes = ma < 0 ? null : copied ? memory.read(ma, length) : memory.u8.subarray(ma, ma + length)
    this.#original = copied && this.bytes !== null ? this.bytes.slice() : null
  }

  /** Whether a guest frame of a range is under it, with a machine frame that can be taken away. */
  overlaps(gfn: number, count: number): boolean {
    return this.ma >= 0 && this.gpa < (gfn + count) * PAGE_BYTES && this.gpa + this.length > gfn * PAGE_BYTES
  }

  /** First machine frame. */
  get mfn(): number {
    return Math.floor(this.ma / PAGE_BYTES)
  }

  /** First guest frame. */
  get gfn(): number {
    return Math.floor(this.gpa / PAGE_BYTES)
  }

  /** Number of touched frames. */
  get frames(): number {
    return Math.floor((this.ma + this.length - 1) / PAGE_BYTES) - this.mfn + 1
  }

  /**
   * Writes the holder's changes of its copy to memory, byte by byte: the guest may have written other bytes meanwhile.
   *
   * @param discard - forget the changes instead
   * @returns whether any frames were written
   */
  settle(memory: MachineMemory, discard: boolean): boolean {
    const bytes = this.bytes
    const original = this.#original
    if (bytes === null || original === null) return false
    let changed = false
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] === original[i]) continue
      changed = true
      if (!discard) memory.u8[this.ma + i] = bytes[i]!
    }
    bytes.set(memory.u8.subarray(this.ma, this.ma + this.length))
    original.set(bytes)
    return changed
  }
}
