import { type MachineMemory, PAGE_SHIFT } from '@retrap/memory'
import type { TableReader } from '@retrap/paging'

/**
 * Reads the page tables of a guest whose RAM is in machine memory.
 *
 * @param at - machine address of a guest-physical one; −1 where there is no RAM
 */
export function flatTables(memory: MachineMemory, at: (gpa: number) => number): TableReader {
  // Tables may be executed: what has been decoded of them dies.
  const changed = (ma: number): true => {
    if (memory.codeBits[ma >>> PAGE_SHIFT] !== 0) memory.noteWrite(ma, 1)
    return true
  }
  return {
    read32: (gpa, into) => {
      const ma = at(gpa)
      if (ma < 0) return false
      into[0] = memory.u32[ma >>> 2]!
      return true
    },
    read64: (gpa, into) => {
      const ma = at(gpa)
      if (ma < 0) return false
      memory.readEntry(ma, into)
      return true
    },
    compareExchange32: (gpa, expect, value) => memory.compareExchange32(at(gpa), expect, value) && changed(at(gpa)),
    compareExchange64: (gpa, expectLo, expectHi, lo, hi) =>
      memory.compareExchangeEntry(at(gpa), expectLo, expectHi, lo, hi) && changed(at(gpa)),
  }
}
