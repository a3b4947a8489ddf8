import type { MachineMemory } from '@retrap/memory'
import type { P2m } from '@retrap/p2m'
import type { DirtyLogs } from './dirty-logs.ts'
import type { TableReader } from '@retrap/paging'

/** The guest's page tables, read through the p2m. */
export class GuestTables implements TableReader {
  readonly #memory: MachineMemory
  readonly #p2m: P2m
  readonly #writes: Pick<P2m, 'translateWrite'>

  /** @param logs - told of tables that are written; default nobody logs any */
  constructor(memory: MachineMemory, p2m: P2m, logs: DirtyLogs | null = null) {
    this.#memory = memory
    this.#p2m = p2m
    this.#writes = logs ?? p2m
  }

  read32(gpa: number, into: Uint32Array): boolean {
    const ma = this.#p2m.translate(gpa)
    if (ma < 0) return false
    into[0] = this.#memory.u32[ma >>> 2] as number
    return true
  }

  read64(gpa: number, into: Uint32Array): boolean {
    const ma = this.#p2m.translate(gpa)
    if (ma < 0) return false
    this.#memory.readEntry(ma, into)
    return true
  }

  compareExchange32(gpa: number, expect: number, value: number): boolean {
    const ma = this.#writes.translateWrite(gpa)
    // A table in ROM loses the update.
    if (ma < 0) return true
    return this.#memory.compareExchange32(ma, expect, value) && this.#changed(ma)
  }

  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    const ma = this.#writes.translateWrite(gpa)
    if (ma < 0) return true
    return this.#memory.compareExchangeEntry(ma, expectLo, expectHi, lo, hi) && this.#changed(ma)
  }

  /** A guest may execute its tables: what has been decoded of them dies. */
  #changed(ma: number): true {
    if (this.#memory.codeBits[ma >>> 12] !== 0) this.#memory.noteWrite(ma, 1)
    return true
  }
}
