import type { MachineMemory } from '@retrap/memory'
import { UNIT_INSTRUCTIONS_AT } from '../hot-counters.ts'
import { exitCounts } from './exit-reasons.ts'
import type { JitCounts } from './jit-options.ts'

/** Waits for compiled code of which the median is known: the last ones. */
const WAITS = 1024

/** Counts that the compiler keeps by itself. */
type OwnCounts = {
  -readonly [Name in keyof Omit<JitCounts, 'exits' | 'executed' | 'medianMilliseconds'>]: JitCounts[Name]
}

/** Statistics of a compiler of hot code. */
export class JitStatistics {
  readonly #memory: MachineMemory
  readonly #countersAt: number
  readonly #waits = new Float64Array(WAITS)
  #waitCount = 0
  /** Counts of the compiler. */
  readonly own: OwnCounts = {
    units: 0,
    live: 0,
    liveBytes: 0,
    revived: 0,
    keptBytes: 0,
    evictions: 0,
    instructions: 0,
    bytes: 0,
    milliseconds: 0,
    longestMilliseconds: 0,
    failures: 0,
    firstFailure: undefined,
  }

  /** @param countersAt - machine address of the counters of hot code */
  constructor(memory: MachineMemory, countersAt: number) {
    this.#memory = memory
    this.#countersAt = countersAt
  }

  /** Notes how long a processor has stood still for the compiler. @param isInstalled - a unit was compiled */
  noteWait(milliseconds: number, isInstalled: boolean): void {
    this.own.milliseconds += milliseconds
    this.own.longestMilliseconds = Math.max(this.own.longestMilliseconds, milliseconds)
    if (isInstalled) this.#waits[this.#waitCount++ % WAITS] = milliseconds
  }

  /** Reads all counts. */
  read(): JitCounts {
    const waits = this.#waits.slice(0, this.#waitCount).toSorted()
    return {
      ...this.own,
      medianMilliseconds: waits[waits.length >> 1] ?? 0,
      executed: Number(this.#memory.u64[(this.#countersAt + UNIT_INSTRUCTIONS_AT) >>> 3]),
      exits: exitCounts(this.#memory, this.#countersAt),
    }
  }
}
