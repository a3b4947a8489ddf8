import type { AccessLog } from './access-log.ts'

/**
 * The outcome of an access: true, false as each method says, or 2 for a fault of the second level, which the guest does not see
 * and which is handed on. `TableStatus` of `@retrap/paging`.
 */
export type TableAccessStatus = boolean | 2

/**
 * How page tables are read and changed; the same shape as `TableReader` of `@retrap/paging`. Guest-physical addresses;
 * a 64-bit entry is `into[0]` (low) and `into[1]` (high).
 */
export interface TableAccess {
  /** Reads a 32-bit entry. @returns false if there is no memory at that address */
  read32(gpa: number, into: Uint32Array): TableAccessStatus
  /** Reads a 64-bit entry, low word first. @returns false if there is no memory at that address */
  read64(gpa: number, into: Uint32Array): TableAccessStatus
  /** Replaces a 32-bit entry. @returns false if it no longer holds `expect` */
  compareExchange32(gpa: number, expect: number, value: number): TableAccessStatus
  /** Replaces a 64-bit entry. @returns false if it no longer holds `expectHi:expectLo` */
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): TableAccessStatus
}

/**
 * Page tables as a logged instruction sees them: each entry read from memory once, A and D bits set once, in whatever
 * number of passes. `log.beginWalk()` goes before each walk.
 *
 * That there is no memory at an address is recorded, too: the delivery of an event goes on after a fault on its way.
 */
export class LoggedTables implements TableAccess {
  readonly #log: AccessLog
  readonly #tables: TableAccess

  constructor(log: AccessLog, tables: TableAccess) {
    this.#log = log
    this.#tables = tables
  }

  /** Reads a 32-bit entry into `into[0]`. */
  read32(gpa: number, into: Uint32Array): TableAccessStatus {
    return this.#read(gpa, into, 4)
  }

  /** Reads a 64-bit entry into `into[0]` (low) and `into[1]`. */
  read64(gpa: number, into: Uint32Array): TableAccessStatus {
    return this.#read(gpa, into, 8)
  }

  #read(gpa: number, into: Uint32Array, bytes: 4 | 8): TableAccessStatus {
    const lo = gpa >>> 0
    const hi = (gpa / 0x1_0000_0000) >>> 0
    const found = this.#log.findWalkRead(lo, hi)
    if (found >= 0) {
      if (this.#log.walkFoundNothing(found)) return false
      into[0] = this.#log.dataLo(found)
      into[1] = this.#log.dataHi(found)
      return true
    }
    const status = bytes === 4 ? this.#tables.read32(gpa, into) : this.#tables.read64(gpa, into)
    if (status === false) this.#log.recordNoEntry(lo, hi, bytes)
    if (status !== true) return status
    this.#log.recordWalkRead(lo, hi, bytes, into[0]!, bytes === 4 ? 0 : into[1]!)
    return true
  }

  /** Replaces a 32-bit entry that still has the expected value. */
  compareExchange32(gpa: number, expect: number, value: number): TableAccessStatus {
    const status = this.#tables.compareExchange32(gpa, expect, value)
    if (status === false) this.#log.dropWalk()
    if (status !== true) return status
    this.#log.recordAdWrite(gpa >>> 0, (gpa / 0x1_0000_0000) >>> 0, 4, value, 0)
    return true
  }

  /** Replaces a 64-bit entry that still has the expected value. */
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): TableAccessStatus {
    const status = this.#tables.compareExchange64(gpa, expectLo, expectHi, lo, hi)
    if (status === false) this.#log.dropWalk()
    if (status !== true) return status
    this.#log.recordAdWrite(gpa >>> 0, (gpa / 0x1_0000_0000) >>> 0, 8, lo, hi)
    return true
  }
}
