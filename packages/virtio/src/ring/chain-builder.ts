/** Bits of a descriptor's flags. Source: VIRTIO 1.2, §2.7.5, "The Virtqueue Descriptor Table". */
export const NEXT = 1
export const WRITE = 2
export const INDIRECT = 4

export const DESCRIPTOR_BYTES = 16

const MOST_BYTES = 2 ** 32
const ADDRESS_END = 2 ** 52

/**
 * Collects the pieces of one chain, and refuses what no chain may have: more pieces than the queue's size, an empty piece, a
 * piece to read behind one to write, more than 4 GiB in all, an address that no machine has.
 *
 * The limit on pieces is what ends a walk of descriptors that form a loop.
 */
export class ChainBuilder {
  readonly #most: number
  gpas: number[] = []
  lengths: number[] = []
  /** How many of the pieces come before the first one to be written. */
  readable: number = 0
  #bytes = 0
  /** Identifies the chain in its ring. */
  id: number = 0
  /** Descriptors of the ring that it takes. */
  slots: number = 0

  /** @param most - pieces of a chain */
  constructor(most: number) {
    this.#most = most
  }

  begin(): void {
    this.gpas = []
    this.lengths = []
    this.readable = 0
    this.#bytes = 0
    this.slots = 0
  }

  /** Adds a piece. @returns false: no chain may have it */
  add(low: number, high: number, length: number, write: boolean): boolean {
    const gpa = high * 2 ** 32 + low
    this.#bytes += length
    if (this.gpas.length === this.#most || length === 0 || gpa + length > ADDRESS_END || this.#bytes > MOST_BYTES)
      return false
    if (!write) {
      if (this.readable < this.gpas.length) return false
      this.readable++
    }
    this.gpas.push(gpa)
    this.lengths.push(length)
    return true
  }
}
