import type { HeldSegment } from './held-segment.ts'

/** The byte that overwrites copies when their mapping is released. */
const POISON = 0xdb
/** Released copies that are watched for late writes. */
const WATCHED = 64

/** A view that was written after its mapping had been released. */
export interface KeptView {
  /** Guest-physical address of the mapping's segment. */
  readonly gpa: number
  /** Size in bytes. */
  readonly length: number
}

/**
 * The development mode: mappings hand out copies. A release carries changed bytes back and poisons the copy, so that who
 * kept a view reads 0xDB, and who writes through it is found.
 */
export class Development {
  readonly #released: { gpa: number; bytes: Uint8Array }[] = []

  /** Overwrites a released segment's copy, and remembers it. */
  poison(segment: HeldSegment): void {
    const { bytes, gpa } = segment
    if (bytes === null) return
    bytes.fill(POISON)
    this.#released.push({ gpa, bytes })
    if (this.#released.length > WATCHED) this.#released.shift()
  }

  /** Returns recent released copies that were written after the release. */
  keptViews(): KeptView[] {
    return this.#released
      .filter(({ bytes }) => bytes.some((byte) => byte !== POISON))
      .map(({ gpa, bytes }) => ({ gpa, length: bytes.length }))
  }
}
