import { BoundedMap } from '../bounded-map.ts'

/** The action of a unit where an instruction's page is not in the TLB. */
export type MissAction =
  /** Leaves, which is counted. */
  | 'count'
  /** Fills the TLB and continues; leaves and counts that if the fill fails. */
  | 'fill'
  /**
   * Makes the access by a call in place, and goes on: the page is a device's, has code in it, or the access lies in two pages.
   * The unit ends after the instruction if the access has written its code.
   */
  | 'call'
  /** Leaves the unit; replaces `call` for an instruction that its successor in memory does not follow. */
  | 'leave'

/** Most misses per count; an instruction's action changes after several counts. */
const MOST_PER_COUNT = 64
const FEWEST_COUNTS = 16
/** Other instructions of the same unit change together with it from this fraction of the counts. */
const COUNTS_BESIDE = 1 / 4

/** Most instructions remembered. */
const MOST_SITES = 65_536

/** Counts TLB misses of instructions in units, and chooses their actions. */
export class MemorySites {
  /** One in this many misses is counted. */
  readonly missesPerCount: number
  /** Counts after which an instruction's action changes. */
  readonly #most: number
  readonly #actions = new BoundedMap<number, MissAction>(MOST_SITES)
  readonly #counts = new BoundedMap<number, number>(MOST_SITES)

  /** @param misses - after which an instruction's action changes, from 1 */
  constructor(misses: number) {
    this.missesPerCount = Math.min(MOST_PER_COUNT, Math.max(1, Math.floor(misses / FEWEST_COUNTS)))
    this.#most = Math.ceil(misses / this.missesPerCount)
  }

  /** Returns the miss action of a record's instruction. */
  actionOf(record: number): MissAction {
    return this.#actions.get(record) ?? 'count'
  }

  /** Copies the known action of an equal instruction to a record. */
  adopt(record: number, action: MissAction): void {
    if (this.#actions.get(record) === undefined) this.#actions.set(record, action)
  }

  /**
   * Counts a miss.
   *
   * @returns whether the instruction's action is to change
   */
  count(record: number): boolean {
    const counts = (this.#counts.get(record) ?? 0) + 1
    this.#counts.set(record, counts)
    return counts >= this.#most
  }

  /** Changes the actions of instructions that have often missed. */
  change(records: Iterable<number>): void {
    for (const record of records) {
      if ((this.#counts.get(record) ?? 0) < this.#most * COUNTS_BESIDE) continue
      this.#counts.delete(record)
      this.#actions.set(record, this.actionOf(record) === 'count' ? 'fill' : 'call')
    }
  }

  clear(): void {
    this.#actions.clear()
    this.#counts.clear()
  }
}
