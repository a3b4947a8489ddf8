import { TWO_32 } from '@retrap/basics'
import type { Dma } from '@retrap/device'

const ENTRY_BYTES = 16
const COUNT_BITS = 0x3f_ffff

/** How a move has ended. `short`: the table has no more room. `bus`: some byte is not RAM. */
export type MoveEnd = 'all' | 'short' | 'bus'

/** Saved form of a {@link DataTable}. */
export interface DataTableState {
  /** Guest-physical address of the next entry. */
  readonly next: number
  /** Entries that are left. */
  readonly entries: number
  /** Guest-physical address of the next byte. */
  readonly address: number
  /** Bytes left of the present entry. */
  readonly left: number
  /** Bytes that have been moved. */
  readonly moved: number
  /** An entry that asks for an interrupt has been filled. */
  readonly processed: boolean
  /** The present entry asks for an interrupt. */
  readonly interrupt: boolean
}

/**
 * The physical region descriptors of a command: where its data is in guest memory.
 *
 * Source: AHCI 1.3.1, 4.2.3.3, "Physical Region Descriptor Table".
 */
export class DataTable {
  readonly #dma: Dma
  readonly #bytes = new Uint8Array(ENTRY_BYTES)
  readonly #entry = new DataView(this.#bytes.buffer)
  #next = 0
  #entries = 0
  #address = 0
  #left = 0
  #interrupt = false
  #processed = false
  #moved = 0

  constructor(dma: Dma) {
    this.#dma = dma
  }

  /** Bytes that have been moved since `begin`. */
  get moved(): number {
    return this.#moved
  }

  /** Takes the note that an entry with an interrupt was filled. */
  takeProcessed(): boolean {
    const processed = this.#processed
    this.#processed = false
    return processed
  }

  /** Begins with a command's table. */
  begin(gpa: number, entries: number): void {
    this.#next = gpa
    this.#entries = entries
    this.#left = 0
    this.#moved = 0
    this.#interrupt = false
    this.#processed = false
  }

  /** Moves bytes of a drive's buffer from where the last ones ended. */
  move(bytes: Uint8Array, toMemory: boolean): MoveEnd {
    for (let done = 0; done < bytes.length;) {
      if (this.#left === 0) {
        if (this.#entries === 0) return 'short'
        if (!this.#load()) return 'bus'
      }
      const length = Math.min(this.#left, bytes.length - done)
      const part = bytes.subarray(done, done + length)
      if (!(toMemory ? this.#dma.write(this.#address, part) : this.#dma.read(this.#address, part))) return 'bus'
      done += length
      this.#moved += length
      this.#address += length
      this.#left -= length
      if (this.#left === 0 && this.#interrupt) this.#processed = true
    }
    return 'all'
  }

  #load(): boolean {
    if (!this.#dma.read(this.#next, this.#bytes)) return false
    const entry = this.#entry
    this.#next += ENTRY_BYTES
    this.#entries--
    this.#address = entry.getUint32(4, true) * TWO_32 + ((entry.getUint32(0, true) & ~1) >>> 0)
    const control = entry.getUint32(12, true)
    // Counts are even: bit 0 of the field is set.
    this.#left = ((control & COUNT_BITS) | 1) + 1
    this.#interrupt = control >>> 31 !== 0
    return true
  }

  save(): DataTableState {
    return {
      next: this.#next,
      entries: this.#entries,
      address: this.#address,
      left: this.#left,
      moved: this.#moved,
      processed: this.#processed,
      interrupt: this.#interrupt,
    }
  }

  restore(state: DataTableState): void {
    this.#next = state.next
    this.#entries = state.entries
    this.#address = state.address
    this.#left = state.left
    this.#moved = state.moved
    this.#processed = state.processed
    this.#interrupt = state.interrupt
  }
}
