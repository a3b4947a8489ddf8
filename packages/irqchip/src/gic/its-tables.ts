import type { GicMemory } from './lpis.ts'

/** Outcomes of an access to the ITS's tables. */
export const DONE = 0
/** The entry is missing: the command has an error. */
export const ERROR = 1
/** The table is in no memory: the command cannot be performed now. */
export const STALL = 2
export type Outcome = typeof DONE | typeof ERROR | typeof STALL

/** Bytes of an entry of any table. */
export const ENTRY_BYTES = 8
/** DeviceIDs and ICIDs have 16 bits. */
const MOST_ENTRIES = 0x1_0000
const VALID = -0x8000_0000

/* GITS_BASER<n>, high word. */
const BASER_VALID = VALID
const BASER_INDIRECT = 1 << 30

/** Pages of 4, 16 or 64 KiB; the reserved size is the last one. */
const PAGE_SHIFTS = [12, 14, 16, 16] as const

/**
 * The tables of an ITS, which lie in guest memory: the guest may have written anything there.
 *
 * All entries have 8 bytes. Device: valid (bit 0), EventID bits less one (5:1), address of the ITT (51:8). Interrupt
 * translation: INTID (23:0), valid (31), ICID (47:32). Collection: vCPU (15:0), valid (31). The manual leaves this to the
 * implementation.
 */
export class ItsTables {
  readonly #memory: GicMemory
  readonly #buffer = new Uint8Array(ENTRY_BYTES)
  readonly #view = new DataView(this.#buffer.buffer)
  #address = 0
  /** Low word of the entry read: 0 if invalid. */
  lo = 0
  hi = 0

  constructor(memory: GicMemory) {
    this.#memory = memory
  }

  /** Reads an entry of a table that a GITS_BASER describes. @returns `ERROR` if the table does not have it */
  read(baserLo: number, baserHi: number, index: number): Outcome {
    const outcome = this.#locate(baserLo, baserHi, index)
    return outcome === DONE ? this.#load(this.#address) : outcome
  }

  /** Writes an entry of a table. */
  write(baserLo: number, baserHi: number, index: number, lo: number, hi: number): Outcome {
    const outcome = this.#locate(baserLo, baserHi, index)
    return outcome === DONE ? this.writeAt(this.#address, lo, hi) : outcome
  }

  /** Reads an entry at an address. */
  readAt(address: number): Outcome {
    return this.#load(address)
  }

  /** Writes an entry at an address. */
  writeAt(address: number, lo: number, hi: number): Outcome {
    this.#view.setInt32(0, lo, true)
    this.#view.setInt32(4, hi, true)
    return this.#memory.write(address, this.#buffer) ? DONE : STALL
  }

  #load(address: number): Outcome {
    this.lo = 0
    this.hi = 0
    if (!this.#memory.read(address, this.#buffer)) return STALL
    this.lo = this.#view.getInt32(0, true)
    this.hi = this.#view.getInt32(4, true)
    return DONE
  }

  /** Finds the address of an entry, through the first level of a table of two. */
  #locate(baserLo: number, baserHi: number, index: number): Outcome {
    if ((baserHi & BASER_VALID) === 0 || index >= MOST_ENTRIES) return ERROR
    const shift = PAGE_SHIFTS[(baserLo >> 8) & 3]!
    const bytes = ((baserLo & 0xff) + 1) * 2 ** shift
    let base = (baserHi & 0xffff) * 2 ** 32 + ((baserLo & 0xffff_f000) >>> 0)
    // In 64 KiB pages bits 15:12 are bits 51:48 of the address.
    if (shift === 16) base += ((baserLo >> 12) & 15) * (2 ** 48 - 2 ** 12)
    let at = index
    if ((baserHi & BASER_INDIRECT) !== 0) {
      const entries = 2 ** shift / ENTRY_BYTES
      const first = Math.floor(index / entries)
      if (first * ENTRY_BYTES >= bytes) return ERROR
      if (this.#load(base + first * ENTRY_BYTES) !== DONE) return STALL
      if ((this.hi & VALID) === 0) return ERROR
      base = (this.hi & 0xf_ffff) * 2 ** 32 + ((this.lo & (-1 << shift)) >>> 0)
      at = index % entries
    } else if (index * ENTRY_BYTES >= bytes) return ERROR
    this.#address = base + at * ENTRY_BYTES
    return DONE
  }
}
