import type { SECOND_LEVEL_FAULT } from './bits.ts'

/**
 * The outcome of an access to a table: true, false as each method says, or {@link SECOND_LEVEL_FAULT}: the tables that translate
 * guest-physical addresses have to be changed first (a frame that is paged out, or whose writes are logged).
 */
export type TableStatus = boolean | typeof SECOND_LEVEL_FAULT

/**
 * The accesses that a walk makes to the guest's tables. Guest-physical addresses, aligned to the entry; a 64-bit entry
 * is `into[0]` (low word) and `into[1]` (high word).
 *
 * A read must not be torn: the entry may be changing under another vCPU's hands.
 */
export interface TableReader {
  /** Reads a 32-bit entry. @returns false if no memory backs the address; the entry then counts as not present */
  read32(gpa: number, into: Uint32Array): TableStatus
  /** Reads a 64-bit entry. @returns false if no memory backs the address; the entry then counts as not present */
  read64(gpa: number, into: Uint32Array): TableStatus
  /**
   * Sets A and D bits.
   *
   * @returns false, with nothing changed, if the entry no longer holds `expect`. A table that cannot be written (ROM)
   *   loses the update: true
   */
  compareExchange32(gpa: number, expect: number, value: number): TableStatus
  /** See {@link TableReader.compareExchange32}. */
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): TableStatus
}

/**
 * Returns a reader for questions of people, which sets no A or D bits.
 *
 * @param note - called for each entry that is read; the value is undefined if the entry was not read
 */
export function notingReader(reader: TableReader, note: (gpa: number, value: bigint | undefined) => void): TableReader {
  const noted = (gpa: number, status: TableStatus, lo: number, hi: number): TableStatus => {
    note(gpa, status === true ? BigInt(lo) | (BigInt(hi) << 32n) : undefined)
    return status
  }
  return {
    read32: (gpa, into) => noted(gpa, reader.read32(gpa, into), into[0]!, 0),
    read64: (gpa, into) => noted(gpa, reader.read64(gpa, into), into[0]!, into[1]!),
    compareExchange32: () => true,
    compareExchange64: () => true,
  }
}
