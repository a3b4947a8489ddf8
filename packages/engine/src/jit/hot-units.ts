import type { MachineMemory } from '@retrap/memory'
import { BoundedMap } from '../bounded-map.ts'
import { LEFT_UNIT_AT } from '../hot-counters.ts'

/** Instructions of turns that end in a unit of the first tier, from which on it is compiled by the second: some milliseconds. */
const LASTING = 20_000_000
/** Units that are remembered. */
const MOST_UNITS = 4096

/**
 * Finds out which units stay hot, by where turns end: a turn counts for the unit that was left last in it. The more
 * of the time a unit takes, the more often that is the one. So generated code need not count anything.
 */
export class HotUnits {
  readonly #memory: MachineMemory
  readonly #leftAt: number
  /** Instructions of turns, by the record of the unit. */
  readonly #executed = new BoundedMap<number, number>(MOST_UNITS)

  /** @param countersAt - machine address of the counters of hot code */
  constructor(memory: MachineMemory, countersAt: number) {
    this.#memory = memory
    this.#leftAt = (countersAt + LEFT_UNIT_AT) >>> 2
  }

  /** A turn begins. */
  begin(): void {
    this.#memory.u32[this.#leftAt] = 0
  }

  /** A turn has ended. @returns the record of a unit that has become one that lasts; 0 where none has */
  end(instructions: number): number {
    const record = this.#memory.u32[this.#leftAt]!
    if (record === 0) return 0
    const before = this.#executed.get(record) ?? 0
    this.#executed.set(record, before + instructions)
    return before < LASTING && before + instructions >= LASTING ? record : 0
  }

  /** Forgets all units. */
  clear(): void {
    this.#executed.clear()
  }
}
