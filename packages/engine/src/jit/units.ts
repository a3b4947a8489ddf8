import type { MachineMemory } from '@retrap/memory'
import { OP_UNIT, R_OP } from '../record.ts'
import { UNIT_ENTERED, type LiveUnit } from './unit.ts'

/** Units are looked over at this interval, in milliseconds of execution: a unit that was not entered meanwhile is idle. */
const LOOK_INTERVAL = 250

/** The units that processors enter. */
export class Units {
  readonly #memory: MachineMemory
  /** The units by their records. */
  readonly byRecord: Map<number, LiveUnit> = new Map<number, LiveUnit>()
  #lookedAt = 0
  /** Whether some units may be idle. */
  #hasIdle = false

  /** Makes an empty set. */
  constructor(memory: MachineMemory) {
    this.#memory = memory
  }

  add(unit: LiveUnit): void {
    this.byRecord.set(unit.record, unit)
  }

  /**
   * Finds the units that have been entered since the last time, if that is long ago.
   *
   * @param time - milliseconds of execution, without compile time
   */
  age(time: number): void {
    if (time - this.#lookedAt < LOOK_INTERVAL) return
    this.#lookedAt = time
    const { u8 } = this.#memory
    this.#hasIdle = true
    for (const unit of this.byRecord.values()) {
      unit.idle = u8[unit.record + UNIT_ENTERED] === 0 ? unit.idle + 1 : 0
      u8[unit.record + UNIT_ENTERED] = 0
    }
  }

  /**
   * Removes the unit that has not been entered for longest, if one has not been for a whole interval.
   *
   * @returns the evicted unit; undefined if all units are in use
   */
  evict(): LiveUnit | undefined {
    if (!this.#hasIdle) return undefined
    let coldest: LiveUnit | undefined
    for (const unit of this.byRecord.values()) if (unit.idle > (coldest?.idle ?? 0)) coldest = unit
    if (coldest !== undefined) this.byRecord.delete(coldest.record)
    else this.#hasIdle = false
    return coldest
  }

  /** Removes units whose code was overwritten. @returns the removed units */
  sweep(): LiveUnit[] {
    const { u16 } = this.#memory
    return this.#removeIf(({ record }) => u16[(record + R_OP) >>> 1] !== OP_UNIT)
  }

  /** Removes all units. @returns the removed units */
  clear(): LiveUnit[] {
    return this.#removeIf(() => true)
  }

  #removeIf(isOver: (unit: LiveUnit) => boolean): LiveUnit[] {
    const removed = [...this.byRecord.values()].filter(isOver)
    for (const unit of removed) this.byRecord.delete(unit.record)
    return removed
  }
}
