import { TWO_32 } from '@retrap/basics'
import { type Dma, Stateful } from '@retrap/device'

const ENTRY_BYTES = 16
const COUNT_BITS = 0x3f_ffff

/** How a move has ended. `short`: the table has no more room. `bus`: some byte is not RAM. */
export type MoveEnd = 'all' | 'short' | 'bus'

/** State before a command: the table has no entries. */
const EMPTY = {
  /** Guest-physical address of the next entry. */
  next: 0,
  /** Number of entries left. */
  entries: 0,
  /** Guest-physical address of the next byte. */
  address: 0,
  /** Bytes left of the present entry. */
  left: 0,
  /** Number of bytes moved. */
  moved: 0,
  /** An entry that asks for an interrupt has been filled. */
  processed: false,
  /** The present entry asks for an interrupt. */
  interrupt: false,
}

/**
 * The physical region descriptors of a command: where its data is in guest memory.
 *
 * Source: AHCI 1.3.1, 4.2.3.3, "Physical Region Descriptor Table".
 */
export class DataTable extends Stateful {
  readonly #dma: Dma
  readonly #bytes = new Uint8Array(ENTRY_BYTES)
  readonly #entry = new DataView(this.#bytes.buffer)
  readonly #at = this.keeps({ ...EMPTY })

  constructor(dma: Dma) {
    super()
    this.#dma = dma
  }

  /** Bytes that have been moved since `begin`. */
  get moved(): number {
    return this.#at.moved
  }

  /** Takes the note that an entry with an interrupt was filled. */
  takeProcessed(): boolean {
    const processed = this.#at.processed
    this.#at.processed = false
    return processed
  }

  /** Begins with a command's table. */
  begin(gpa: number, entries: number): void {
    Object.assign(this.#at, EMPTY, { next: gpa, entries })
  }

  /** Moves bytes of a drive's buffer, from the end of the previous move. */
  move(bytes: Uint8Array, toMemory: boolean): MoveEnd {
    for (let done = 0; done < bytes.length;) {
      if (this.#at.left === 0) {
        if (this.#at.entries === 0) return 'short'
        if (!this.#load()) return 'bus'
      }
      const length = Math.min(this.#at.left, bytes.length - done)
      const part = bytes.subarray(done, done + length)
      if (!(toMemory ? this.#dma.write(this.#at.address, part) : this.#dma.read(this.#at.address, part))) return 'bus'
      done += length
      this.#at.moved += length
      this.#at.address += length
      this.#at.left -= length
      if (this.#at.left === 0 && this.#at.interrupt) this.#at.processed = true
    }
    return 'all'
  }

  #load(): boolean {
    if (!this.#dma.read(this.#at.next, this.#bytes)) return false
    const entry = this.#entry
    this.#at.next += ENTRY_BYTES
    this.#at.entries--
    this.#at.address = entry.getUint32(4, true) * TWO_32 + ((entry.getUint32(0, true) & ~1) >>> 0)
    const control = entry.getUint32(12, true)
    // Counts are even: bit 0 of the field is set.
    this.#at.left = ((control & COUNT_BITS) | 1) + 1
    this.#at.interrupt = control >>> 31 !== 0
    return true
  }
}
