/**
 * Feature bits of rings and transports.
 *
 * Source: Virtual I/O Device (VIRTIO) 1.2, §6, "Reserved Feature Bits"; §6.3 for the legacy ones.
 */
export const VirtioFeature: {
  /** A legacy driver may split a request into buffers freely. */
  readonly anyLayout: 27
  /** A descriptor may name a table of descriptors. */
  readonly indirect: 28
  /** Notifications and interrupts are asked for by index. */
  readonly eventIndex: 29
  /** The driver follows version 1.0 or later. */
  readonly version1: 32
  /** Queues may be packed rings. */
  readonly packedRing: 34
} = { anyLayout: 27, indirect: 28, eventIndex: 29, version1: 32, packedRing: 34 }

/** A set of feature bits 0–63, as two words. */
export class FeatureSet {
  /** Bits 31:0, unsigned. */
  lo: number = 0
  /** Bits 63:32, unsigned. */
  hi: number = 0

  /** Makes a set of bits. */
  static of(bits: Iterable<number>): FeatureSet {
    const set = new FeatureSet()
    for (const bit of bits) {
      if (bit < 32) set.lo = (set.lo | (1 << bit)) >>> 0
      else set.hi = (set.hi | (1 << (bit - 32))) >>> 0
    }
    return set
  }

  /** Whether the set holds a bit. */
  has(bit: number): boolean {
    return ((bit < 32 ? this.lo >>> bit : this.hi >>> (bit - 32)) & 1) !== 0
  }

  /** Whether another set contains all bits of this one. */
  isWithin(other: FeatureSet): boolean {
    return (this.lo & ~other.lo) === 0 && (this.hi & ~other.hi) === 0
  }

  /** Returns word 0 or 1; further words are 0. */
  word(index: number): number {
    return index === 0 ? this.lo : index === 1 ? this.hi : 0
  }

  /** Sets word 0 or 1. */
  setWord(index: number, value: number): void {
    if (index === 0) this.lo = value >>> 0
    else if (index === 1) this.hi = value >>> 0
  }
}
