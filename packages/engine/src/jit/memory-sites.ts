import { BoundedMap } from './bounded-map.ts'

/** What a unit does where an instruction's page is not in the TLB. */
export type MissAction =
  /** Leaves, which is counted. */
  | 'count'
  /** Fills the TLB and goes on; leaves, which is counted, where that does not help. */
  | 'fill'
  /** Leaves: the page is a device's, has code in it, or the access lies in two pages. */
  | 'leave'

/** Counts after which an instruction's action changes; one in `MISSES_PER_COUNT` misses is counted. */
const COUNTS = 16
/** Other instructions of the same unit change with it from so many counts. */
const COUNTS_BESIDE = 4

/** Instructions that are remembered. */
const MOST_SITES = 65_536

/** How often instructions of units have missed the TLB, and what follows from that. */
export class MemorySites {
  readonly #actions = new BoundedMap<number, MissAction>(MOST_SITES)
  readonly #counts = new BoundedMap<number, number>(MOST_SITES)

  /** What the instruction of a record does. */
  actionOf(record: number): MissAction {
    return this.#actions.get(record) ?? 'count'
  }

  /**
   * Counts a miss.
   *
   * @returns whether the instruction's action is to change
   */
  count(record: number): boolean {
    const counts = (this.#counts.get(record) ?? 0) + 1
    this.#counts.set(record, counts)
    return counts >= COUNTS
  }

  /** Changes the actions of those of some instructions that have missed often. */
  change(records: Iterable<number>): void {
    for (const record of records) {
      if ((this.#counts.get(record) ?? 0) < COUNTS_BESIDE) continue
      this.#counts.delete(record)
      this.#actions.set(record, this.actionOf(record) === 'count' ? 'fill' : 'leave')
    }
  }

  clear(): void {
    this.#actions.clear()
    this.#counts.clear()
  }
}
