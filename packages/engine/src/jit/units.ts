import type { MachineMemory } from '@retrap/memory'
import { OP_UNIT, R_OP } from '../record.ts'
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

  /** @param firstEntry - of the table, after the forms */
  constructor(memory: MachineMemory, firstEntry: number) {
    this.#memory = memory
    this.#nextEntry = firstEntry
  }

  get count(): number {
    return this.#units.size
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
    for (const { record, entry } of removed) {
      for (const runner of this.#runners) runner.uninstall(entry)
      this.#units.delete(record)
      this.#free.push(entry)
    }
    return removed
  }
}
