import type { MachineMemory } from '@retrap/memory'
import { OP_UNIT, R_OP } from '../record.ts'
import { UNIT_ENTERED } from './unit.ts'
import type { LiveUnit, UnitRunner } from './unit.ts'

/** Milliseconds of execution at least in which a unit must not have been entered to be given up. */
const LOOK_INTERVAL = 1000
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
  #lookedAt = 0
  /** Whether some units may be idle. */
  #hasIdle = false

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

  /** Returns whether there is no entry of the table for another unit. */
  isFull(): boolean {
    return this.reserve() >= MOST_ENTRIES
  }

  /** Returns an entry of the table for a unit to be made. */
  reserve(): number {
    return this.#free.at(-1) ?? this.#nextEntry
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
   * Removes the unit that has not been entered for longest, if one has not been for a whole interval.
   *
   * @param time - milliseconds of execution, without those that compiling has taken
   * @returns the unit; undefined where all are in use
   */
  evict(time: number): LiveUnit | undefined {
    if (time - this.#lookedAt >= LOOK_INTERVAL) {
      this.#lookedAt = time
      this.#look()
    }
    if (!this.#hasIdle) return undefined
    let coldest: LiveUnit | undefined
    for (const unit of this.#units.values()) if (unit.idle > (coldest?.idle ?? 0)) coldest = unit
    if (coldest !== undefined) this.#remove(coldest)
    else this.#hasIdle = false
    return coldest
  }

  /** Finds the units that have been entered since the last time. */
  #look(): void {
    const { u8 } = this.#memory
    this.#hasIdle = true
    for (const unit of this.#units.values()) {
      unit.idle = u8[unit.record + UNIT_ENTERED] === 0 ? unit.idle + 1 : 0
      u8[unit.record + UNIT_ENTERED] = 0
    }
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
