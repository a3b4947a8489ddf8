import { FRAME_WATCHED, type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { P2M_READ, type P2m } from '@retrap/p2m'
import { SECOND_LEVEL_FAULT, type TableReader, type TableStatus } from '@retrap/paging'
import { STATUS_RETRY } from '@retrap/replay'
import { TABLE_WAIT, type SecondLevelFaults } from './second-level.ts'

/** The part of a map that leads to tables. */
export type TableMap = Pick<P2m, 'translate' | 'translateWrite'>

/** Handles accesses to tables that the map does not lead to. */
type TableFaults = Pick<SecondLevelFaults, 'fault' | 'tableWrite'>

/** The guest's page tables, read through the p2m. */
export class GuestTables implements TableReader {
  readonly #memory: MachineMemory
  readonly #p2m: TableMap
  readonly #faults: TableFaults | null
  readonly #vcpu: number
  /** A table that a debugger watches is written in a logged pass: a walk outside of one waits for that. */
  defersWatched = false
  /** Guest-physical address of the last entry that was in no memory; −1 for none. */
  outside = -1

  /**
   * @param faults - called for tables without memory; default such a table is absent
   * @param vcpu - who walks
   */
  constructor(memory: MachineMemory, p2m: TableMap, faults: TableFaults | null = null, vcpu: number = 0) {
    this.#memory = memory
    this.#p2m = p2m
    this.#faults = faults
    this.#vcpu = vcpu
  }

  /** Reads a 32-bit entry. @returns false for an address without memory */
  read32(address: number, into: Uint32Array): TableStatus {
    const gpa = this.onBus(address)
    let ma = this.#find(gpa)
    if (ma < 0) {
      if (this.#wait(gpa)) return SECOND_LEVEL_FAULT
      ma = this.#p2m.translate(gpa)
      if (ma < 0) return this.#isOutside(gpa)
    }
    into[0] = this.#memory.u32[ma >>> 2]!
    return true
  }

  /** Reads a 64-bit entry as two words. @returns false for an address without memory */
  read64(address: number, into: Uint32Array): TableStatus {
    const gpa = this.onBus(address)
    let ma = this.#find(gpa)
    if (ma < 0) {
      if (this.#wait(gpa)) return SECOND_LEVEL_FAULT
      ma = this.#p2m.translate(gpa)
      if (ma < 0) return this.#isOutside(gpa)
    }
    this.#memory.readEntry(ma, into)
    return true
  }

  /** Replaces a 32-bit entry if it is as expected. @returns false if it is not */
  compareExchange32(gpa: number, expect: number, value: number): TableStatus {
    const ma = this.#writable(this.onBus(gpa))
    // A table in ROM loses the update.
    if (ma < 0) return ma === TABLE_WAIT ? SECOND_LEVEL_FAULT : true
    return this.#memory.compareExchange32(ma, expect, value) && this.#changed(ma)
  }

  /** Replaces a 64-bit entry if it is as expected. @returns false if it is not */
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): TableStatus {
    const ma = this.#writable(this.onBus(gpa))
    if (ma < 0) return ma === TABLE_WAIT ? SECOND_LEVEL_FAULT : true
    return this.#memory.compareExchangeEntry(ma, expectLo, expectHi, lo, hi) && this.#changed(ma)
  }

  /** Returns a guest-physical address as it leaves the processor for the bus. */
  protected onBus(gpa: number): number {
    return gpa
  }

  /** Returns the machine address of memory that hides the guest's map at an address; −1: none. */
  protected inFront(_gpa: number): number {
    return -1
  }

  #isOutside(gpa: number): false {
    this.outside = gpa
    return false
  }

  #find(gpa: number): number {
    const ma = this.inFront(gpa)
    return ma >= 0 ? ma : this.#p2m.translate(gpa)
  }

  #writable(gpa: number): number {
    const inFront = this.inFront(gpa)
    if (inFront >= 0) return inFront
    const ma = this.#faults === null ? this.#p2m.translateWrite(gpa) : this.#faults.tableWrite(gpa, this.#vcpu)
    return ma >= 0 && this.defersWatched && (this.#memory.codeBits[ma >>> 12]! & FRAME_WATCHED) !== 0 ? TABLE_WAIT : ma
  }

  #wait(gpa: number): boolean {
    return this.#faults?.fault(this.#vcpu, gpa, P2M_READ) === STATUS_RETRY
  }

  /** Drops decoded instructions of a written table, which a guest may also execute. */
  #changed(ma: number): true {
    this.#memory.noteStore(ma, 1)
    return true
  }
}

/**
 * Calls `each` with the guest-physical address of each page's part of a range of linear addresses: for debuggers.
 *
 * @param physical - returns the guest-physical address of a linear address; −1 if unmapped
 * @param each - `from` and `to` count bytes of the range @returns whether there is memory
 * @returns the bytes up to the first that fails
 */
export function linearPieces(
  linear: bigint,
  length: number,
  physical: (lo: number, hi: number) => number,
  each: (gpa: number, from: number, to: number) => boolean,
): number {
  let done = 0
  while (done < length) {
    const at = BigInt.asUintN(64, linear + BigInt(done))
    const [lo, hi] = [Number(at & 0xffff_ffffn), Number(at >> 32n)]
    const gpa = physical(lo, hi)
    const end = Math.min(length, done + PAGE_BYTES - (lo & (PAGE_BYTES - 1)))
    if (gpa < 0 || !each(gpa, done, end)) break
    done = end
  }
  return done
}
