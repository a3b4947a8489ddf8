import type { MachineMemory } from '@retrap/memory'
import { OP_UNIT, R_OP } from '../record.ts'
import { UNIT_ENTERED } from './unit.ts'
import type { LiveUnit, UnitRunner } from './unit.ts'

/** R_FUNCTION has 16 bits. */
const MOST_ENTRIES = 1 << 16

/** The units in the function tables of all processors. */
export class Units {
  readonly #memory: MachineMemory
  readonly #runners: UnitRunner[] = []
  /** By their records. */
  readonly #units = new Map<number, LiveUnit>()
  /** Entries of the table that units have left. */
  readonly #free: number[] = []
  #nextEntry: number
  #bytes = 0

  /** @param firstEntry - of the table, after the forms */
  constructor(memory: MachineMemory, firstEntry: number) {
    this.#memory = memory
    this.#nextEntry = firstEntry
  }

  get count(): number {
    return this.#units.size
  }

  /** Bytes of the modules of all units. */
  get bytes(): number {
    return this.#bytes
  }

  /** Returns the unit of a record. */
  get(record: number): LiveUnit | undefined {
    return this.#units.get(record)
  }

  /** Adds a processor, which may execute the units that there are already. */
  addRunner(runner: UnitRunner): void {
    this.#runners.push(runner)
    for (const { module, entry } of this.#units.values()) runner.install(module, entry)
  }

  /** Returns an entry of the table for a unit to be made; undefined where the table is full. */
  reserve(): number | undefined {
    const entry = this.#free.at(-1) ?? this.#nextEntry
    return entry < MOST_ENTRIES ? entry : undefined
  }

  /** Has all processors execute a module as an entry of the table. */
  install(module: object, entry: number): void {
    for (const runner of this.#runners) runner.install(module, entry)
  }

  /** Adds a unit, whose entry {@link reserve} has returned last. */
  add(unit: LiveUnit): void {
    if (this.#free.pop() === undefined) this.#nextEntry++
    this.#units.set(unit.record, unit)
    this.#bytes += unit.bytes
  }

  /** A unit has another module. */
  replace(unit: LiveUnit, module: object, bytes: number): void {
    this.#bytes += bytes - unit.bytes
    unit.module = module
    unit.bytes = bytes
  }

  /**
   * Removes the unit that has been entered longest ago, about: each that was entered since it was last considered gets
   * another turn.
   *
   * @param kept - the one unit that stays
   * @returns the unit; undefined where there is no other
   */
  evict(kept: LiveUnit | undefined): LiveUnit | undefined {
    const { u8 } = this.#memory
    // Those that get another turn come up again at the end.
    for (const unit of this.#units.values()) {
      const { record } = unit
      if (unit === kept) {
        if (this.#units.size === 1) return undefined
      } else if (u8[record + UNIT_ENTERED] === 0) {
        this.#remove(unit)
        return unit
      }
      u8[record + UNIT_ENTERED] = 0
      this.#units.delete(record)
      this.#units.set(record, unit)
    }
    return undefined
  }

  /** Removes units whose code has been written. @returns them */
  sweep(): LiveUnit[] {
    const { u16 } = this.#memory
    return this.#removeIf(({ record }) => u16[(record + R_OP) >>> 1] !== OP_UNIT)
  }

  /** Removes all units. */
  clear(): void {
    this.#removeIf(() => true)
  }

  #removeIf(isOver: (unit: LiveUnit) => boolean): LiveUnit[] {
    const removed = [...this.#units.values()].filter(isOver)
    for (const unit of removed) this.#remove(unit)
    return removed
  }

  #remove({ record, entry, bytes }: LiveUnit): void {
    for (const runner of this.#runners) runner.uninstall(entry)
    this.#units.delete(record)
    this.#free.push(entry)
    this.#bytes -= bytes
  }
}
