import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { isMadeFrom, type CodePage, type CodeUnit, type CrossingRecords } from './code-page.ts'
import { OP_CROSS, OP_DEAD, OP_HEAD, OP_UNIT, RECORD_BYTES, R_LENGTH, R_LINK, R_OP, R_WRITTEN } from './record.ts'

/**
 * Ends records and units whose bytes have changed. Each record gets {@link OP_DEAD}: execution that reaches it, from the preceding
 * record or by a link, looks up the new instruction.
 */
export class CodeKiller {
  /** Live units by their records. */
  readonly units: Map<number, CodeUnit> = new Map<number, CodeUnit>()
  readonly #u8: Uint8Array
  readonly #u16: Uint16Array
  readonly #u32: Uint32Array
  readonly #longest: number
  readonly #tag: number

  /**
   * @param longest - bytes of the longest instruction
   * @param tag - `RecordDecoder.tag`
   */
  constructor({ u8, u16, u32 }: MachineMemory, longest: number, tag = 0) {
    this.#tag = tag
    this.#u8 = u8
    this.#u16 = u16
    this.#u32 = u32
    this.#longest = longest
  }

  /**
   * Kills code made from some bytes of a page.
   *
   * @param last - inclusive
   * @returns whether any code was killed
   */
  killBytes(page: CodePage, first: number, last: number): boolean {
    let found = false
    for (const unit of page.units) {
      if (!isMadeFrom(unit, page, first, last)) continue
      this.killUnit(unit, page.frame)
      found = true
    }
    const slots = page.slots >>> 2
    for (let offset = Math.max(0, first - this.#longest + 1); offset <= (last | this.#tag); offset++) {
      if (this.#u32[slots + offset] === 0) continue
      if ((offset & ~this.#tag) + this.#extent(slots + offset) <= first) continue
      this.#killSlot(page, slots + offset)
      found = true
    }
    this.#killTraps(page)
    if (first >= this.#longest || page.crossings.size === 0) return found
    for (const crossing of page.crossings) this.#killCrossing(page, crossing)
    return true
  }

  /** Ends all records of a page, and all units that depend on it. */
  killPage(page: CodePage): void {
    for (const unit of page.units) this.killUnit(unit, page.frame)
    const slots = page.slots >>> 2
    for (let offset = 0; offset < PAGE_BYTES; offset++) {
      if (this.#u32[slots + offset] !== 0) this.#killSlot(page, slots + offset)
    }
    this.#killTraps(page)
    for (const crossing of page.crossings) this.#killCrossing(page, crossing)
    page.clearMarks()
  }

  /**
   * Ends a unit: the interpreter executes its code again.
   *
   * @param frame - the written frame
   */
  killUnit(unit: CodeUnit, frame: number): void {
    const { record, slot, parts } = unit
    this.#u16[(record + R_OP) >>> 1]! |= OP_DEAD
    this.#u32[(record + R_WRITTEN) >>> 2] = frame
    const first = this.#u32[(record + R_LINK) >>> 2]!
    this.#u16[(first + R_OP) >>> 1]! &= ~OP_HEAD
    if (this.#u32[slot >>> 2] === record) this.#u32[slot >>> 2] = first
    for (const { page } of parts) page.units.delete(unit)
    this.units.delete(record)
  }

  /** Ends the records of an instruction that lies in two pages. */
  killCrossing(record: number): void {
    for (let n = 0; n < 3; n++) this.#u16[(record + n * RECORD_BYTES + R_OP) >>> 1]! |= OP_DEAD
  }

  #killCrossing(page: CodePage, crossing: CrossingRecords): void {
    const { record, slot } = crossing
    if (this.#u32[slot >>> 2] === record) this.#u32[slot >>> 2] = 0
    this.killCrossing(record)
    page.crossings.delete(crossing)
  }

  /** Most bytes that decided the decoding of an instruction. For invalid instructions, of length 1, the number is unknown. */
  #extent(slot: number): number {
    let record = this.#u32[slot]!
    const op = this.#u16[(record + R_OP) >>> 1]
    if (op === OP_CROSS) return this.#longest
    if (op === OP_UNIT) record = this.#u32[(record + R_LINK) >>> 2]!
    const length = this.#u8[record + R_LENGTH]!
    return length === 1 ? this.#longest : length
  }

  /** Kills the record that a slot points to. */
  #killSlot(page: CodePage, slot: number): void {
    const unit = this.units.get(this.#u32[slot]!)
    if (unit !== undefined) this.killUnit(unit, page.frame)
    this.#killRecord(this.#u32[slot]!)
    this.#u32[slot] = 0
  }

  #killTraps({ traps }: CodePage): void {
    if (traps === undefined) return
    for (const [offset, record] of traps) {
      if (record !== 0) this.#killRecord(record)
      traps.set(offset, 0)
    }
  }

  #killRecord(record: number): void {
    if (this.#u16[(record + R_OP) >>> 1] === OP_CROSS) this.killCrossing(record)
    else this.#u16[(record + R_OP) >>> 1]! |= OP_DEAD
  }
}
