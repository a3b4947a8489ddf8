import type { AccessLog } from './access-log.ts'

/**
 * How page tables are read and changed; the same shape as `TableReader` of `@retrap/paging`. Guest-physical addresses;
 * a 64-bit entry is `into[0]` (low) and `into[1]` (high).
 */
export interface TableAccess {
  /** @returns false if there is no memory at that address */
  read32(gpa: number, into: Uint32Array): boolean
  /** @returns false if there is no memory at that address */
  read64(gpa: number, into: Uint32Array): boolean
  /** @returns false if the entry no longer holds `expect` */
  compareExchange32(gpa: number, expect: number, value: number): boolean
  /** @returns false if the entry no longer holds `expectHi:expectLo` */
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean
}

/**
 * Page tables as a logged instruction sees them: each entry read from memory once, A and D bits set once, in whatever
 * number of passes. `log.beginWalk()` goes before each walk.
 *
 * An address without memory is not recorded: the fault it causes ends the instruction.
 */
export class LoggedTables implements TableAccess {
  readonly #log: AccessLog
  readonly #tables: TableAccess

  constructor(log: AccessLog, tables: TableAccess) {
    this.#log = log
    this.#tables = tables
  }

  read32(gpa: number, into: Uint32Array): boolean {
    const lo = gpa >>> 0
    const hi = (gpa / 0x1_0000_0000) >>> 0
    const found = this.#log.findWalkRead(lo, hi)
    if (found >= 0) {
      into[0] = this.#log.dataLo(found)
      into[1] = 0
      return true
    }
    if (!this.#tables.read32(gpa, into)) return false
    this.#log.recordWalkRead(lo, hi, 4, into[0] as number, 0)
    return true
  }

  read64(gpa: number, into: Uint32Array): boolean {
    const lo = gpa >>> 0
    const hi = (gpa / 0x1_0000_0000) >>> 0
    const found = this.#log.findWalkRead(lo, hi)
    if (found >= 0) {
      into[0] = this.#log.dataLo(found)
      into[1] = this.#log.dataHi(found)
      return true
    }
    if (!this.#tables.read64(gpa, into)) return false
    this.#log.recordWalkRead(lo, hi, 8, into[0] as number, into[1] as number)
    return true
  }

  compareExchange32(gpa: number, expect: number, value: number): boolean {
    if (!this.#tables.compareExchange32(gpa, expect, value)) {
      this.#log.dropWalk()
      return false
    }
    this.#log.recordAdWrite(gpa >>> 0, (gpa / 0x1_0000_0000) >>> 0, 4, value, 0)
    return true
  }

  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    if (!this.#tables.compareExchange64(gpa, expectLo, expectHi, lo, hi)) {
      this.#log.dropWalk()
      return false
    }
    this.#log.recordAdWrite(gpa >>> 0, (gpa / 0x1_0000_0000) >>> 0, 8, lo, hi)
    return true
  }
}
