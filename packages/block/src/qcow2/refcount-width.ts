/** Counts above this are rounded: a file has no room for as many references. */
const EXACT = 2 ** 52

/** Reads and writes counts of a refcount block. A width of `2 ** order` bits. */
export class RefcountWidth {
  readonly order: number
  /** The largest count. */
  readonly most: number

  constructor(order: number) {
    this.order = order
    this.most = Math.min(2 ** (2 ** order) - 1, EXACT)
  }

  /** Counts in a block of this size. */
  entriesIn(clusterBytes: number): number {
    return (clusterBytes * 8) / 2 ** this.order
  }

  read(block: DataView, index: number): number {
    switch (this.order) {
      case 3:
        return block.getUint8(index)
      case 4:
        return block.getUint16(index * 2)
      case 5:
        return block.getUint32(index * 4)
      case 6:
        return Math.min(EXACT, block.getUint32(index * 8) * 2 ** 32 + block.getUint32(index * 8 + 4))
      default: {
        // Several counts in a byte, the first in its lowest bits.
        const bit = index << this.order
        return (block.getUint8(bit >>> 3) >>> (bit & 7)) & this.most
      }
    }
  }

  /** @returns offset in the block of the count's first byte */
  write(block: DataView, index: number, count: number): number {
    switch (this.order) {
      case 3:
        block.setUint8(index, count)
        return index
      case 4:
        block.setUint16(index * 2, count)
        return index * 2
      case 5:
        block.setUint32(index * 4, count)
        return index * 4
      case 6:
        block.setUint32(index * 8, Math.floor(count / 2 ** 32))
        block.setUint32(index * 8 + 4, count >>> 0)
        return index * 8
      default: {
        const bit = index << this.order
        const at = bit >>> 3
        const others = block.getUint8(at) & ~(this.most << (bit & 7))
        block.setUint8(at, others | (count << (bit & 7)))
        return at
      }
    }
  }
}
